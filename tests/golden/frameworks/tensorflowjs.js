// Runs tf.train.rmsprop for `frameworks.py`: one JSON from standard input to one on standard output. NODE_PATH says
// where @tensorflow/tfjs-core and @tensorflow/tfjs-backend-cpu are.
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');

async function run({params, steps, options: {decay, momentum, epsilon, centered}}) {
  await tf.setBackend('cpu');
  const names = Object.keys(params);
  const variables = names.map(name => tf.variable(tf.tensor(params[name]), true, name));
  const optimizer = tf.train.rmsprop(steps[0][1], decay, momentum, epsilon, centered);
  const found = [];
  for (const [gradients, rate] of steps) {
    optimizer.learningRate = rate;
    optimizer.applyGradients(names.map(name => ({name, tensor: tf.tensor(gradients[name])})));
    const slots = [optimizer.accumulatedMeanSquares, optimizer.accumulatedMeanGrads, optimizer.accumulatedMoments];
    const trees = [variables, ...slots.map(slot => slot.map(({variable}) => variable))];
    found.push(trees.map(tree => Object.fromEntries(tree.map((tensor, i) => [names[i], tensor.arraySync()]))));
  }
  return {about: {'@tensorflow/tfjs-core': tf.version_core, node: process.version}, found};
}

run(JSON.parse(require('fs').readFileSync(0))).then(result => console.log(JSON.stringify(result)));
