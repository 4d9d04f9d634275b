// Runs the RMSprop of brain.js' recurrent networks for `frameworks`: one JSON from standard input to one on standard
// output. NODE_PATH says where brain.js is.
const {RNN} = require('brain.js').recurrent;
const {version} = require('brain.js/package.json');

function run({params, steps, options}) {
  const names = Object.keys(params);
  const net = new RNN(options);
  // Its networks make float32 arrays; here its rule runs on float64 ones.
  net.model.allMatrices = names.map(name => ({weights: Float64Array.from(params[name].flat())}));
  net.stepCache = net.model.allMatrices.map(({weights}) => new Float64Array(weights.length));
  const found = [];
  for (const [gradients, rate] of steps) {
    net.model.allMatrices.forEach((matrix, i) => matrix.deltas = gradients[names[i]].flat());
    net.trainOpts.learningRate = rate;
    net.adjustWeights();
    const trees = [net.model.allMatrices.map(({weights}) => weights), net.stepCache];
    found.push(trees.map(tree => Object.fromEntries(tree.map((array, i) => [names[i], Array.from(array)]))));
  }
  return {about: {'brain.js': version, node: process.version}, found};
}

console.log(JSON.stringify(run(JSON.parse(require('fs').readFileSync(0)))));
