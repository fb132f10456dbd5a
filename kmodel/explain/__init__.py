"""Floor 6: a run told in a few sentences: who held what, who waited for whom, why it goes on so.

    story   which sentences a run gets, by what it shows
    ran     a run that is over, and what all sentences need of it
    stuck   nobody can step: what each waits for, and the cycle of waiting
    lap     a loop: why each task moves in it or need not, and how fair it is
    decided the one pair of events whose order decides
    chronicle logged a log told from its records; how it ends, from the same run made again
    sentence failing asleep of that log: what is told once, what fails why, who sleeps at its end
    deeds   of that log: paging, exits, faults, and in stories of locks who held which
    broken  one bad moment: the two accesses of a race, or who held what at a panic
    dropped of a leak, who took what was not given back and nothing refers to

Made from what the run recorded (events, and who held which lock before each step), and
from nothing that is known of a scenario.
"""
