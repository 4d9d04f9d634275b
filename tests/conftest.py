"""Eight CPU devices, strict dtype promotion; warnings are errors through pyproject.toml."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax

collect_ignore = ["golden"]  # recorders, each for its framework
jax.config.update("jax_numpy_dtype_promotion", "strict")
