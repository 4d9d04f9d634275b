from rmsprop_optax.cli import main

if __name__ == "__main__":
    raise SystemExit(main(prog="python -m rmsprop_optax"))
