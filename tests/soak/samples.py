"""What a process takes over time, and whether that grows: read from /proc, judged by two windows.

The warm-up is the first tenth of the time and at least a minute (a third, where the whole is shorter than
three). What comes after it begins with one window of a tenth (of three seconds at least) and ends with
another; a growth is the median of the second less the median of the first. One high sample is then no growth, and a creep is.
"""
import os
import statistics

MIB = 1 << 20


def warm_up_s(whole_s):
    return min(max(whole_s / 10, 60), whole_s / 3)


def status(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def children(pid):
    found = []
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, thread), encoding="ascii") as file:
            found += [int(child) for child in file.read().split()]
    return found


def folder_bytes(path):
    return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())


def kib(text):
    return int(text.split()[0]) * 1024


def connections_to(port):
    """Established ones of this machine to that port of loopback, at the side that opened them."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    return sum(row[2] == "0100007F:%04X" % port and row[3] == "01" for row in rows)


class Sample:
    """One look at a process and at the processes that it started."""

    def __init__(self, at, pid):
        mine = status(pid)
        self.at = at
        self.rss = kib(mine["VmRSS"])
        self.threads = int(mine["Threads"])
        self.descriptors = len(os.listdir("/proc/%d/fd" % pid))
        workers = children(pid)
        self.workers = len(workers)
        self.workers_rss = sum(kib(status(worker)["VmRSS"]) for worker in workers)


class Samples:
    def __init__(self):
        self.all = []

    def take(self, at, pid, **more):
        sample = Sample(at, pid)
        for name, value in more.items():
            setattr(sample, name, value)
        self.all.append(sample)
        return sample

    def windows(self, whole_s):
        """The samples of the two windows."""
        warm, length = warm_up_s(whole_s), max(3, whole_s / 10)
        last = self.all[-1].at
        return ([one for one in self.all if warm <= one.at < warm + length],
                [one for one in self.all if one.at > last - length])

    def medians(self, name, whole_s):
        return [statistics.median(getattr(one, name) for one in window)
                for window in self.windows(whole_s)]

    def least(self, name, whole_s):
        """For what comes and goes with single calls: what is left between them."""
        return [min(getattr(one, name) for one in window) for window in self.windows(whole_s)]

    def per_hour(self, name, whole_s):
        """The slope of the straight line that lies nearest to all after the warm-up."""
        warm = [one for one in self.all if one.at >= warm_up_s(whole_s)]
        at = [one.at for one in warm]
        if len(set(at)) < 2:
            return 0.0
        return statistics.linear_regression(at, [getattr(one, name) for one in warm]).slope * 3600
