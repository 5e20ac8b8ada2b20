"""What people import from Coxswain. Standard library only: a training script must be able to import it anywhere.

A script says how it is doing, saves, and hears when it shall stop::

    import coxswain

    run = coxswain.init(total_steps=1000)
    start = load(run.resume_from) if run.resume_from else 0      # a directory you once gave to checkpoint()
    for step in range(start + 1, 1001):
        loss = train_one_step()
        run.log({"loss": loss}, step=step)
        if step % 100 == 0 or run.should_stop():
            save("last")
            run.checkpoint("last", step=step)
        ...

Run by hand, with no control plane near it, the same script prints its metrics and goes on.
"""

from coxswain.run import Run, init

__all__ = ["Run", "__version__", "init"]
__version__ = "0.1.0"
