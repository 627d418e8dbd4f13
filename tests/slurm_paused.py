"""``mcx`` that waits once in the middle of a run until somebody ends it.

``python slurm_paused.py PLACE STEP score ...``: after step STEP of a run it leaves a file of the
run's name in PLACE and goes on only when a signal has come; a run whose file is there already does
not wait. So a test can kill or preempt a run in the middle of its work, however fast it is. The
steps of a run are listed in RUN.steps beside it, in the order in which they were done.
"""

import sys
import time
from pathlib import Path


def main() -> None:
    place, step = Path(sys.argv[1]), int(sys.argv[2])
    sys.argv[1:] = sys.argv[3:]
    if sys.argv[1] == "score":
        from mcxlib.engine import session

        plain = session.Session.look

        def look(self) -> None:
            mark = place / self.folder.run_id
            with open(f"{mark}.steps", "a") as steps:
                print(self.at.step, file=steps)
            plain(self)
            if self.at.step == step and not mark.exists():
                mark.touch()
                while not self.signals.received:
                    time.sleep(0.1)

        session.Session.look = look
    from mcxlib import cli

    cli.main()


if __name__ == "__main__":
    main()
