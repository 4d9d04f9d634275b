"""The sharpness that an optimizer sees: the largest curvature of the loss, in units of its own step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.sparse.linalg import LinearOperator, eigsh

from rmsprop_optax._arguments import optimizer
from rmsprop_optax._paths import named
from rmsprop_optax._probe import mean_squares, probe


class Sharpness(NamedTuple):
    """The result of :func:`sharpness`.

    Attributes:
      value: the largest eigenvalue; 2 is the edge of stability.
      products: number of Hessian-vector products, each about two gradients.
    """

    value: float
    products: int


def sharpness(
    tx: optax.GradientTransformation,
    state: optax.OptState,
    params: optax.Params,
    loss: Callable[..., jax.Array],
    *args: Any,
    tolerance: float = 1e-3,
    **extra_args: Any,
) -> Sharpness:
    r"""Return the largest eigenvalue of the loss's Hessian, preconditioned by the optimizer's effective learning rates.

    .. math::
      \lambda_{\max}(D^{1/2} H D^{1/2}), \qquad D = \mathrm{diag}(rate_i), \quad H = \nabla^2 loss(params)

    A step along an eigenvector multiplies its error by ``1 − λ``: above 2 the error grows. In full-batch training
    RMSprop settles at 2: the oscillation raises the mean square until λ is 2, so the effective rates follow the
    curvature. With a momentum buffer the edge is ``2·(1 + momentum)``. The rates are those of the next step with empty
    buffers. They come from the optimizer, as in :func:`rmsprop_optax.measure.effective_rates`, so they hold for every
    dialect, epsilon and schedule. Add a coupled weight decay (L2) to the loss.

    Lanczos iteration (ARPACK through ``scipy.sparse.linalg.eigsh``) takes 20 to 60 Hessian-vector products, each about
    two gradients, for any number of parameters. The products run on the devices of the parameters, sharded or not. The
    20 vectors of the iteration take 80 bytes a parameter of host memory. Call this function outside ``jit``.

    Args:
      tx: an optimizer of this package or a chain with one, measured or not.
      state: the state of ``tx``.
      params: a tree of real arrays. Arrays without a mean square are held constant.
      loss: a function from the parameters and ``args`` to a scalar. Pass the same function each time, so that it is
        compiled once.
      args: further arguments of ``loss``, such as a batch.
      tolerance: relative error of the eigenvalue.
      extra_args: further arguments of ``tx.update``.

    Returns:
      The largest eigenvalue and the number of products.

    Raises:
      ValueError: no array has a mean square, an array is complex, or fewer than 2 parameters are left.
      TypeError: ``tx`` is not a transformation.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx, params = rmsprop(0.1, decay=0.0, eps=0.0), jnp.array([1.0, 1.0, 1.0])
      >>> loss = lambda p: jnp.sum(p**2 * jnp.array([1.0, 2.0, 3.0]))
      >>> _, state = tx.update(jax.grad(loss)(params), tx.init(params), params)
      >>> round(sharpness(tx, state, params, loss).value, 4)  # curvature / gradient · 0.1, alike in all three
      0.1

    Source:
      Cohen et al., arXiv:2207.14484 and arXiv:2410.24206: the preconditioned sharpness of RMSprop settles at 2.
    """
    tx = optimizer(tx)
    nus = {name: parts[0] for name, parts in mean_squares(state).items()}
    leaves = named(params)
    if not nus:
        raise ValueError(
            "sharpness needs a state with a ScaleByRmsState, got none: give the state of an optimizer of "
            "rmsprop_optax, such as rmsprop(0.1).init(params)."
        )
    for name in nus:
        if jnp.iscomplexobj(leaves[name]):
            raise ValueError(f"sharpness is for real parameters, got {leaves[name].dtype} in {name}.")
    sizes = [leaves[name].size for name in nus]
    if sum(sizes) < 2:
        raise ValueError(f"sharpness needs 2 parameters with a mean square, got {sum(sizes)}.")
    _, rate = probe(tx._replace(update=jax.jit(tx.update)), params, state, nus, extra_args, whole=True)
    roots = {name: jnp.sqrt(r) for name, r in rate(nus).items()}
    products = 0

    def product(flat: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        parts = np.split(np.asarray(flat, np.float32).ravel(), np.cumsum(sizes)[:-1])
        vector = {name: jnp.asarray(x.reshape(leaves[name].shape)) for name, x in zip(nus, parts, strict=True)}
        found = jax.device_get(_product(loss, params, roots, vector, args))
        return np.concatenate([np.ravel(found[name]) for name in nus])

    operator = LinearOperator((sum(sizes),) * 2, matvec=product, dtype=np.float32)
    start = np.random.default_rng(0).standard_normal(sum(sizes)).astype(np.float32)
    [value] = eigsh(operator, 1, which="LA", v0=start, tol=tolerance, return_eigenvectors=False)
    return Sharpness(float(value), products)


@functools.partial(jax.jit, static_argnums=0)
def _product(
    loss: Callable[..., jax.Array], params: Any, roots: dict[str, jax.Array], vector: dict[str, jax.Array], args: Any
) -> dict[str, jax.Array]:
    """``D^½ H D^½ v`` as arrays by name."""
    scaled = {name: roots[name] * x for name, x in vector.items()}
    treedef: Any = jax.tree.structure(params)
    tangents = [
        scaled[name].astype(p.dtype) if name in scaled else jnp.zeros_like(p) for name, p in named(params).items()
    ]
    gradient = jax.grad(lambda p: loss(p, *args))
    curved = named(jax.jvp(gradient, (params,), (treedef.unflatten(tangents),))[1])
    return {name: root * curved[name].astype(root.dtype) for name, root in roots.items()}
