"""PyTorch and what takes its arguments."""

from frameworks.common import CENTERED, DECAY, MOMENTUM, lone, named, product

ALPHA = {"alpha": 0.875, "eps": 2.0**-20}


def run(optimizer, keys=("square_avg", "grad_avg", "momentum_buffer")):
    """The rule of an optimizer of PyTorch's kind; `max_lr` is the rate of its constructor."""
    import torch

    def rule(params, steps, max_lr=None, **options):
        tensors = {name: torch.tensor(p) for name, p in params.items()}
        opt = optimizer(tensors.values(), lr=max_lr or steps[0][1], **options)
        for grads, opt.param_groups[0]["lr"] in steps:
            for name, tensor in tensors.items():
                tensor.grad = torch.tensor(grads[name])
            opt.step()
            state = {name: opt.state[tensor] for name, tensor in tensors.items()}
            yield tensors, *({n: s[key] for n, s in state.items() if key in s} for key in keys)

    return rule


def pytorch():
    import torch

    cases = product([ALPHA], [{}, MOMENTUM], [{}, CENTERED], [{}, DECAY], [{}, {"maximize": True}])
    return run(torch.optim.RMSprop), {"float64": [*cases, {}], "complex128": cases}


def timm():
    decoupled = DECAY | {"decoupled_decay": True}
    corrected = decoupled | {"corrected_weight_decay": True, "max_lr": 2.0**-6}
    momentum = product([MOMENTUM], [{}, {"lr_in_momentum": False}], [{}, {"caution": True}])
    cases = product([ALPHA], [{}, *momentum], [{}, CENTERED], [{}, DECAY, decoupled, corrected])
    return run(lone("timm.optim.rmsprop_tf").RMSpropTF), {"float64": [*cases, {}]}


def sb3():
    optimizer = lone("stable_baselines3.common.sb2_compat.rmsprop_tf_like").RMSpropTFLike
    return run(optimizer), {"float64": [*product([ALPHA], [{}, MOMENTUM], [{}, CENTERED], [{}, DECAY]), {}]}


def pfrl():
    optimizer = lone("pfrl.optimizers.rmsprop_eps_inside_sqrt").RMSpropEpsInsideSqrt
    return run(optimizer), {"float64": [*product([ALPHA], [{}, MOMENTUM], [{}, CENTERED], [{}, DECAY]), {}]}


def torchopt():
    import torch
    import torchopt

    def rule(params, steps, **options):
        tensors = {name: torch.tensor(p) for name, p in params.items()}
        opt = torchopt.RMSprop(tuple(tensors.values()), lr=lambda count: steps[count][1], **options)
        for grads, _ in steps:
            for name, tensor in tensors.items():
                tensor.grad = torch.tensor(grads[name])
            opt.step()
            slots = {key: value for state in opt.state_dict()[0] for key, value in state._asdict().items()}
            yield tensors, *(named(params, slots.get(key)) for key in ("nu", "mu", "trace"))

    nesterov = MOMENTUM | {"nesterov": True}
    cases = [
        *product([ALPHA], [{}, MOMENTUM, nesterov], [{}, CENTERED]),
        ALPHA | MOMENTUM | DECAY | {"initial_scale": 0.25},
        ALPHA | {"maximize": True, "initial_scale": 1.0},
        ALPHA | nesterov | CENTERED | DECAY | {"maximize": True, "initial_scale": 0.25},
        {},
    ]
    return rule, {"float64": cases}


def bitsandbytes():
    from bitsandbytes.optim import RMSprop32bit

    return run(RMSprop32bit, ("state1", "", "")), {"float32": [*product([ALPHA], [{}, DECAY]), {}]}


def oneflow():
    import oneflow as flow

    def rule(params, steps, **options):
        tensors = {name: flow.nn.Parameter(flow.tensor(p)) for name, p in params.items()}
        opt = flow.optim.RMSprop(list(tensors.values()), **options)
        for grads, opt.param_groups[0]["lr"] in steps:
            for name, tensor in tensors.items():
                tensor.grad = flow.tensor(grads[name])
            opt.step()
            slots = [{n: opt._state[t].get(key) for n, t in tensors.items()} for key in ("square_avg", "grad_avg")]
            trees = [{n: t.numpy() for n, t in tree.items() if t is not None} for tree in (tensors, *slots)]
            yield *trees, {}

    bases = [ALPHA, {"alpha": 0.5, "eps": 0.25}]
    return rule, {"float64": product(bases, [{}, CENTERED], [{}, DECAY])}


def jittor():
    import jittor as jt

    def rule(params, steps, **options):
        jt.flags.auto_convert_64_to_32 = 0
        variables = {name: jt.array(p) for name, p in params.items()}
        opt = jt.optim.RMSprop(list(variables.values()), lr=steps[0][1], **options)
        for grads, opt.lr in steps:
            opt.param_groups[0]["grads"] = [jt.array(grads[name]) for name in variables]
            opt.step()
            trees = variables, named(params, opt.param_groups[0]["values"])
            yield *({n: v.numpy() for n, v in tree.items()} for tree in trees), {}, {}

    return rule, {"float64": [ALPHA, {"alpha": 0.5, "eps": 0.25}]}


def fastai():
    import torch
    from fastai.optimizer import RMSProp

    def rule(params, steps, eps=1e-8, **options):
        tensors = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}
        opt = RMSProp(list(tensors.values()), lr=steps[0][1], **options)
        opt.set_hyper("eps", eps)  # the constructor does not pass its own on
        for grads, rate in steps:
            opt.set_hyper("lr", rate)
            for name, tensor in tensors.items():
                tensor.grad = torch.tensor(grads[name])
            opt.step()
            state = {name: opt.state[tensor] for name, tensor in tensors.items()}
            kept = [{n: s[key] for n, s in state.items() if key in s} for key in ("sqr_avg", "", "grad_avg")]
            yield {n: t.detach() for n, t in tensors.items()}, *kept

    decays = {}, {"wd": 2.0**-7}, {"wd": 2.0**-7, "decouple_wd": False}
    return rule, {"float64": [*product([{"sqr_mom": 0.875, "eps": 2.0**-20}], [{}, {"mom": 0.75}], decays), {}]}


def heavyball():
    import heavyball
    import torch

    heavyball.utils.compile_mode = None

    def rule(params, steps, beta2=0.99, **options):
        tensors = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in params.items()}
        opt = heavyball.RMSprop(list(tensors.values()), lr=steps[0][1], betas=(0.9, beta2), **options)
        for grads, opt.param_groups[0]["lr"] in steps:
            for name, tensor in tensors.items():
                tensor.grad = torch.tensor(grads[name])
            opt.step()
            squares = {name: opt.state[t][0]["scale_by_exp_avg_sq_exp_avg_sq_0"] for name, t in tensors.items()}
            yield {name: t.detach() for name, t in tensors.items()}, squares, {}, {}

    return rule, {"float32": [*product([{"beta2": 0.875, "eps": 2.0**-10}], [{}, DECAY]), {}]}


def pyro():
    import torch
    from pyro.optim.adagrad_rmsprop import AdagradRMSProp

    def rule(params, steps, **options):
        tensors = {name: torch.tensor(p) for name, p in params.items()}
        opt = AdagradRMSProp(list(tensors.values()), eta=steps[0][1], **options)
        for grads, opt.param_groups[0]["eta"] in steps:
            for name, tensor in tensors.items():
                tensor.grad = torch.tensor(grads[name])
            opt.step()
            yield tensors, {n: opt.state[t]["sum"] for n, t in tensors.items()}, {}, {}

    return rule, {"float64": [{"t": 0.25, "delta": 0.125}, {"delta": 0.0}, {}]}


def dreamerv3():
    from torchrl.trainers.algorithms import DreamerV3Optimizer

    def optimizer(tensors, lr, **options):
        return DreamerV3Optimizer(tensors, lr=lr, warmup_steps=0, **options)

    cases = product(
        [{"beta1": 0.75, "beta2": 0.875, "eps": 2.0**-20}], [{}, {"agc": 0.0}, {"agc": 0.125, "parameter_norm_min": 64}]
    )
    return run(optimizer, ("rms", "", "momentum")), {"float32": [*cases, {}]}
