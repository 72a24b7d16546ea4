"""Runs real gateway processes as a fleet, injects faults, and prints a table of goals and results.

A simulated Feishu, a Redis server and a bucket (moto) run beside the gateways, all on loopback. It fails if a result is wrong: a
row that differs from Feishu's, a failed request, a call too many. Times and shares are printed beside their goals and fail
nothing, because they depend on the machine.
"""

import argparse
import glob
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

APP = {"FEISHU_APP_ID": "cli_demo", "FEISHU_APP_SECRET": "demo-secret"}
CLOUD = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "something", "AWS_REGION": "us-east-1"}
# Preloaded, because the program faketime starts a process of its own.
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("binary")
arguments.add_argument("--previous", metavar="BINARY", help="a binary of an earlier release, which the rolling restart replaces")
arguments.add_argument("--kills", type=int, default=3, help="how often the leader is killed in a fetch")
arguments.add_argument("--long", action="store_true", help="run the measurements of many minutes too, best with a released build")
arguments.add_argument("scenarios", nargs="*", help="names of functions of this file; by default all")
options = arguments.parse_intermixed_args()
BINARY, KILLS = os.path.abspath(options.binary), options.kills

scratch = tempfile.mkdtemp()
started = []
rows = []
wrong = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(name, command, environment=None):
    log = open(os.path.join(scratch, f"{name}.log"), "wb")
    environment = {"PATH": os.environ["PATH"], "HOME": scratch, **(environment or {})}
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    started.append(process)
    return process


def stop(process, how=signal.SIGTERM, limit=40):
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        process.wait(limit)


def until(condition, limit, what):
    """Seconds until the condition holds."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if condition():
            return time.monotonic() - began
        time.sleep(0.02)
    raise SystemExit(f"not within {limit} s: {what}")


def request(port, method, path, headers=None, body=None, timeout=90):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def answers(port, path="/livez"):
    try:
        return request(port, "GET", path, timeout=2)[0] == 200
    except OSError:
        return False


def report(what, goal, result, is_met, counts=True):
    """Adds a line to the table. A wrong result fails the run; a slow one is only marked."""
    rows.append((what, goal, result, "yes" if is_met else "**no**"))
    print(f"{what}: {result} (goal {goal})", flush=True)
    if counts and not is_met:
        wrong.append(what)


class CuttableLink:
    """Passes connections on to a port, until it is cut."""

    def __init__(self, target):
        self.target, self.port, self.is_cut, self.open = target, free_port(), False, []
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            client, _ = listener.accept()
            if self.is_cut:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self.open += [client, server]
            for source, sink in [(client, server), (server, client)]:
                threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def cut(self):
        self.is_cut = True
        for end in self.open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open = []

    def mend(self):
        self.is_cut = False


class Gateway:
    def __init__(self, fleet, number, clock=None):
        self.fleet, self.number, self.clock, self.binary = fleet, number, clock, fleet.binary
        self.port, self.fleet_port = free_port(), free_port()
        self.link = CuttableLink(fleet.redis_port)
        self.run()

    def run(self):
        environment = {
            **APP, **CLOUD,
            "AWS_ENDPOINT_URL": self.fleet.bucket,
            "FEISHU_BASE_URL": f"http://127.0.0.1:{self.fleet.simulator_port}",
            "PULSE_LISTEN": f"127.0.0.1:{self.port}",
            "PULSE_ARCHIVE": f"s3://lake/{self.fleet.name}",
            "PULSE_STATE_DIR": os.path.join(scratch, f"state-{self.fleet.name}-{self.number}"),
            "PULSE_FLEET": "archive" if self.fleet.store == "bucket" else f"redis://127.0.0.1:{self.link.port}",
            "PULSE_FLEET_LISTEN": f"127.0.0.1:{self.fleet_port}",
            "PULSE_WARM": "off",
            "PULSE_DRAIN_DELAY": "2s",
            "PULSE_REQUESTS_PER_MINUTE": "none",
            **self.fleet.environment,
        }
        if self.clock:
            environment |= {"LD_PRELOAD": FAKETIME, "FAKETIME": self.clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.process = start(f"gateway-{self.fleet.name}-{self.number}", [self.binary, "serve"], environment)
        until(lambda: answers(self.port), 60, f"gateway {self.number} of {self.fleet.name} serves")

    def metric(self, name):
        try:
            text = request(self.port, "GET", "/metrics", timeout=5)[1].decode()
        except OSError:
            return None
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(map(float, values)) if values else None

    def leads(self):
        return self.metric("feishu_pulse_fleet_leader") == 1

    def day(self, date, timeout=90):
        """Status, and the user ids of a day."""
        return self.days(date, date, timeout)

    def status_and_headers(self, date):
        status, _, headers = request(self.port, "GET", f"/v1/user-days?start_date={date}&end_date={date}")
        return status, headers

    def days(self, first, last, timeout=90):
        """Status, and the user ids of the rows of a range."""
        path = f"/v1/user-days?start_date={first}&end_date={last}&format=csv"
        status, body, _ = request(self.port, "GET", path, timeout=timeout)
        if status != 200:
            return status, body.decode()[:300]
        header, *lines = body.decode("utf-8-sig").splitlines()
        column = header.split(",").index("user_id")
        return status, sorted(line.split(",")[column] for line in lines)


class Fleet:
    """A simulated tenant and its gateways."""

    def __init__(self, name, count, simulate=(), clocks=(), store="Redis", binary=BINARY, **environment):
        self.name, self.store, self.binary, self.environment = name, store, binary, environment
        self.redis_port, self.bucket = redis_port, bucket
        self.simulator_port = free_port()
        self.simulator = start(f"simulator-{name}", [
            BINARY, "simulate", "--listen", f"127.0.0.1:{self.simulator_port}", *simulate])
        until(lambda: self.token() is not None, 30, "the simulator answers")
        clocks = [*clocks, *[None] * count][:count]
        self.gateways = [Gateway(self, number, clock) for number, clock in enumerate(clocks)]
        if self.environment.get("PULSE_FLEET") != "none":
            self.leader_within(60)

    def token(self):
        body = json.dumps({"app_id": APP["FEISHU_APP_ID"], "app_secret": APP["FEISHU_APP_SECRET"]})
        path = "/open-apis/auth/v3/tenant_access_token/internal"
        try:
            _, answer, _ = request(self.simulator_port, "POST", path, {"content-type": "application/json"}, body)
        except OSError:
            return None
        return json.loads(answer)["tenant_access_token"]

    def truth(self, date):
        """The user ids of a day, from Feishu itself."""
        headers = {"authorization": f"Bearer {self.token()}"}
        base = f"/open-apis/admin/v1/admin_user_stats?start_date={date}&end_date={date}&page_size=60"
        found, token = [], ""
        while True:
            page = f"{base}&page_token={token}" if token else base
            answer = json.loads(request(self.simulator_port, "GET", page, headers)[1])
            if answer["code"] != 0:
                time.sleep(1)
                continue
            found += [item["user_id"] for item in answer["data"]["items"]]
            if not answer["data"]["has_more"]:
                return sorted(found)
            token = answer["data"]["page_token"]

    def leader(self):
        return next((gateway for gateway in self.gateways if gateway.process.poll() is None and gateway.leads()), None)

    def leader_within(self, limit):
        seconds = until(lambda: self.leader() is not None, limit, "a leader")
        return self.leader(), seconds

    def followers(self):
        leader = self.leader()
        return [gateway for gateway in self.gateways if gateway is not leader]

    def calls(self):
        """Ends the simulator. The calls for pages that it answered, and those over the limit."""
        stop(self.simulator)
        with open(os.path.join(scratch, f"simulator-{self.name}.log")) as log:
            words = log.read().split("It answered ")[1].split()
        return int(words[0]), int(words[words.index("rejected") + 1])

    def end(self):
        for gateway in self.gateways:
            stop(gateway.process, signal.SIGKILL)
        stop(self.simulator, signal.SIGKILL)


def dates(count):
    """The latest days that are final, newest first."""
    today = time.time() + 8 * 3600
    return [time.strftime("%Y-%m-%d", time.gmtime(today - 86400 * back)) for back in range(3, 3 + count)]


def one_fetch_for_all(count=3, callers=30):
    # Each caller gets a whole day as an export.
    fleet = Fleet(f"cold-{count}", count, ["--users", "2000"], PULSE_MAX_EXPORTS="1000")
    date = dates(1)[0]
    with ThreadPoolExecutor(count * callers) as pool:
        days = list(pool.map(lambda index: fleet.gateways[index % count].day(date), range(count * callers)))
    calls, _ = fleet.calls()
    is_same = all(day == days[0] and day[0] == 200 for day in days)
    pages = -(-len(days[0][1]) // 60)
    report(f"a cold day asked at {count} replicas by {callers} callers each: calls", str(pages), str(calls), calls == pages)
    report(f"… all callers get the same {len(days[0][1])} rows", "yes", "yes" if is_same else "no", is_same)
    fleet.end()


def batches():
    fleet = Fleet("batch", 3, ["--users", "20"])
    month = dates(30)
    thirds = [(gateway, month[10 * third + 9], month[10 * third]) for third, gateway in enumerate(fleet.gateways)]
    with ThreadPoolExecutor(3) as pool:
        answers_of_thirds = list(pool.map(lambda third: third[0].days(third[1], third[2]), thirds))
    calls, _ = fleet.calls()
    # How many days meet in one call depends on the speed of the machine.
    report("a month of 20 people, ten days at each of 3 replicas: calls", "≤ 12", str(calls), calls <= 12, counts=calls > 30)
    fleet.end()
    assert all(status == 200 for status, _ in answers_of_thirds), answers_of_thirds


def kills(count=KILLS, goal=3, store="Redis"):
    fleet = Fleet(f"kill-{store}", 3, ["--users", "1200", "--limit", "40/s", "--days", str(count + 20)], store=store)
    waits, differing, repeated = [], 0, 0
    for date in dates(count):
        leader, _ = fleet.leader_within(60)
        others = fleet.followers()
        with ThreadPoolExecutor(2) as pool:
            loads = [pool.submit(other.day, date) for other in others]
            time.sleep(random.uniform(0.0, 0.6))
            leader.process.kill()
            leader.process.wait()
            began = time.monotonic()
            fleet.leader_within(60)
            waits.append(time.monotonic() - began)
            days = [load.result() for load in loads]
        truth = fleet.truth(date)
        differing += sum(day != (200, truth) for day in days)
        repeated += sum(len(day[1]) != len(set(day[1])) for day in days)
        leader.run()
    waits.sort()
    report(f"kill -9 of the leader in a fetch, {count} times ({store}): days that differ from Feishu's", "0", str(differing), differing == 0)
    report("… rows twice", "0", str(repeated), repeated == 0)
    middle = f", median {statistics.median(waits):.1f} s" if count > 9 else ""
    report("… time until another replica leads, worst", f"≤ {goal} s", f"{waits[-1]:.1f} s{middle}", waits[-1] <= goal, counts=False)
    fleet.end()


def kills_with_a_bucket():
    kills(min(KILLS, 20), goal=7, store="bucket")


def rolling_restart():
    fleet = Fleet("deploy", 3, ["--users", "600", "--latency", "20ms"], binary=os.path.abspath(options.previous or BINARY))
    ready, results, ended = set(fleet.gateways), [], threading.Event()
    hit, *misses = dates(60)
    fleet.leader().day(hit)
    lock = threading.Lock()

    def balance():
        # What a load balancer does: it asks for readiness and stops sending requests to a replica that shuts down.
        while not ended.is_set():
            for gateway in fleet.gateways[:]:
                (ready.add if answers(gateway.port, "/readyz") else ready.discard)(gateway)
            time.sleep(0.2)

    def call(seed):
        rng = random.Random(seed)
        while not ended.is_set():
            with lock:
                is_miss = rng.random() < 0.01 and misses
                date = misses.pop() if is_miss else hit
            gateway = rng.choice(list(ready) or fleet.gateways)
            began = time.monotonic()
            try:
                status = request(gateway.port, "GET", f"/v1/reports/activity?start_date={date}&end_date={date}&trailing=held")[0]
            except OSError as error:
                status = repr(error)
            results.append((bool(is_miss), status, time.monotonic() - began))
            time.sleep(0.03)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(8)] + [threading.Thread(target=balance)]
    for thread in threads:
        thread.start()
    terms = fleet.leader().metric("feishu_pulse_fleet_term")
    # As the chart deploys: a new replica is ready before one is ended.
    fleet.binary = BINARY
    for number, gateway in enumerate(fleet.gateways[:], 3):
        fleet.gateways.append(Gateway(fleet, number))
        time.sleep(1)
        stop(gateway.process)
        fleet.gateways.remove(gateway)
        fleet.leader_within(40)
    ended.set()
    for thread in threads:
        thread.join()
    changes = fleet.leader().metric("feishu_pulse_fleet_term") - terms
    failed = [result for result in results if result[1] != 200]
    slow = sorted(seconds for is_miss, _, seconds in results if is_miss)
    kind = "deploy of another release to" if options.previous else "restart of"
    report(f"rolling {kind} 3 under {len(results)} requests: failed", "0", f"{len(failed)} {failed[:3] or ''}".strip(), not failed)
    report(f"… {len(slow)} misses, slowest", "≤ 1.5 s more", f"{slow[-1]:.2f} s" if slow else "–", bool(slow) and slow[-1] < 2.5, counts=False)
    report("… changes of the leader", "1", f"{changes:.0f}", changes <= 1, counts=False)
    fleet.end()


def pause_of_the_leader():
    fleet = Fleet("pause", 2, ["--users", "600"])
    first, second = dates(2)
    leader = fleet.leader()
    leader.day(first)
    leader.process.send_signal(signal.SIGSTOP)
    other = next(gateway for gateway in fleet.gateways if gateway is not leader)
    seconds = until(other.leads, 40, "another leader")
    status, ids = other.day(second)
    leader.process.send_signal(signal.SIGCONT)
    until(lambda: leader.metric("feishu_pulse_fleet_leader") == 0, 10, "the old leader notices")
    before = leader.metric("feishu_pulse_upstream_permits_total")
    through_leader = leader.day(second)
    after = leader.metric("feishu_pulse_upstream_permits_total")
    report("leader paused (SIGSTOP): another leads after", "≤ 12 s", f"{seconds:.1f} s", seconds <= 12, counts=False)
    is_right = status == 200 and (status, ids) == through_leader and before == after
    report("… after SIGCONT the old one sends no call and serves the same day", "yes", "yes" if is_right else "no", is_right)
    fleet.end()


def redis_cli(*command):
    return subprocess.run(["redis-cli", "-p", str(redis_port), *command], capture_output=True, check=True, text=True).stdout


def fleet_key(fleet):
    """The key of this fleet, found by the address of its leader: earlier fleets have left theirs."""
    addresses = [f"127.0.0.1:{gateway.fleet_port}" for gateway in fleet.gateways]
    leaders = {key: json.loads(dict(redis_fields(key))["record"])["leader"] for key in redis_cli("keys", "*").split()}
    return next(key for key, leader in leaders.items() if leader and leader["address"] in addresses)


def redis_fields(key):
    lines = redis_cli("hgetall", key).splitlines()
    return list(zip(lines[::2], lines[1::2]))


def faults_of_the_store():
    fleet = Fleet("store", 3, ["--users", "600"])
    held, *cold = dates(8)
    leader = fleet.leader()
    follower = fleet.followers()[0]
    follower.day(held)
    redis.send_signal(signal.SIGSTOP)
    time.sleep(4)
    status, _ = follower.day(cold.pop())
    redis.send_signal(signal.SIGCONT)
    report("store hangs for 4 s: a cold day is served", "200", str(status), status == 200)
    time.sleep(3)
    report("… the leader stays", "yes", "yes" if leader.leads() else "no", leader.leads())

    earlier = redis_fields(fleet_key(fleet))
    redis_cli("flushall")
    seconds = until(lambda: redis_cli("keys", "*"), 20, "the record is written again")
    report("store wiped: the leader writes the record again after", "≤ 2 s", f"{seconds:.1f} s", seconds <= 2.5, counts=False)
    report("… the leader stays", "yes", "yes" if leader.leads() else "no", leader.leads())

    # Time for two renewals, which the restored record does not have.
    time.sleep(5)
    term = leader.metric("feishu_pulse_fleet_term")
    redis_cli("hset", fleet_key(fleet), *[text for field in earlier for text in field])
    seconds = until(lambda: redis_fields(fleet_key(fleet)) != earlier, 20, "the record is replaced")
    report("store rolled back: the leader replaces the record after", "≤ 2 s", f"{seconds:.1f} s", seconds <= 2.5, counts=False)
    is_same = leader.leads() and leader.metric("feishu_pulse_fleet_term") == term
    report("… the leader stays", "yes", "yes" if is_same else "no", is_same)

    redis.send_signal(signal.SIGSTOP)
    until(lambda: fleet.leader() is None, 30, "the lease ends")
    statuses = [gateway.day(held)[0] for gateway in fleet.gateways]
    report("store away for long: held days at all replicas", "200", str(statuses), statuses == [200] * 3)
    date = cold.pop()
    days = [gateway.day(date, timeout=60) for gateway in fleet.gateways]
    is_right = days == [(200, fleet.truth(date))] * 3
    report("… a cold day at all replicas, from the replica that led last", "right", "right" if is_right else str([day[0] for day in days]), is_right)
    degraded = sum(gateway.metric("feishu_pulse_fleet_degraded") for gateway in fleet.gateways)
    report("… replicas that call Feishu at a part of the rate", "1", f"{degraded:.0f}", degraded == 1)
    redis.send_signal(signal.SIGCONT)
    _, seconds = fleet.leader_within(40)
    report("… a replica leads after the store answers again", "≤ 12 s", f"{seconds:.1f} s", seconds <= 12, counts=False)
    status, _ = fleet.gateways[0].day(cold.pop())
    report("… and the cold day is served", "200", str(status), status == 200)

    redis.send_signal(signal.SIGSTOP)
    for gateway in fleet.gateways:
        stop(gateway.process)
        gateway.run()
    statuses = [gateway.day(held)[0] for gateway in fleet.gateways]
    report("all replicas restarted while the store is away: an archived day", "200", str(statuses), statuses == [200] * 3)
    status, headers = fleet.gateways[0].status_and_headers(cold.pop())
    is_told = status == 503 and "retry-after" in {name.lower() for name in headers}
    report("… another day", "503 with Retry-After", str(status), is_told)
    redis.send_signal(signal.SIGCONT)
    fleet.leader_within(40)
    fleet.end()


def leader_cut_from_the_store():
    fleet = Fleet("cut", 2, ["--users", "600"])
    first, second, third = dates(3)
    leader, other = fleet.leader(), fleet.followers()[0]
    leader.link.cut()
    seconds = until(other.leads, 40, "another leader")
    at_other = other.day(first)
    is_right = not leader.leads() and at_other[0] == 200 and at_other[1] == fleet.truth(first)
    report("leader cut from the store: another leads after", "≤ 12 s", f"{seconds:.1f} s", seconds <= 12, counts=False)
    report("… one leader, right days", "yes", "yes" if is_right else "no", is_right)
    leader.link.mend()
    until(lambda: leader.day(second)[0] == 200, 30, "the old leader asks the new one")
    other.link.cut()
    status, _ = leader.day(third)
    report("… and back again: a cold day at the follower", "200", str(status), status == 200)
    fleet.end()


def deletion():
    fleet = Fleet("forget", 3, ["--users", "200"])
    date = dates(1)[0]
    for gateway in fleet.gateways:
        gateway.day(date)
    def is_gone(gateway):
        _, body, _ = request(gateway.port, "GET", f"/v1/coverage?start_date={date}&end_date={date}")
        return json.loads(body)["data"][0]["state"] == "missing"
    status, _, _ = request(fleet.followers()[0].port, "DELETE", f"/v1/days/{date}")
    seconds = until(lambda: all(map(is_gone, fleet.gateways)), 30, "the day is gone everywhere")
    report("a day deleted at a follower is gone everywhere after", "≤ 3 s", f"{seconds:.1f} s", seconds <= 3, counts=False)
    report("… status", "204", str(status), status == 204)
    fleet.end()


def clocks():
    if not FAKETIME:
        raise SystemExit("libfaketime is not installed")
    fleet = Fleet("clocks", 3, ["--users", "200"], clocks=[None, "+1h", "-1h"])
    first, second = dates(2)

    def expected(date):
        # A leader whose clock is ahead can fetch a day too early, so it marks the day as doubtful, and the day does not count.
        return 200, [] if fleet.leader().clock == "+1h" else fleet.truth(date)

    days = [gateway.day(first) for gateway in fleet.gateways]
    is_right = days == [expected(first)] * 3
    leader = fleet.leader()
    leader.process.kill()
    leader.process.wait()
    fleet.leader_within(40)
    days += [gateway.day(second) for gateway in fleet.gateways if gateway is not leader]
    is_right = is_right and days[3:] == [expected(second)] * 2
    report("clocks of two replicas ± 1 h: days at all replicas, before and after a kill", "right", "right" if is_right else str([(status, len(ids)) for status, ids in days]), is_right)
    fleet.end()


def idle():
    fleet = Fleet("idle", 3, ["--users", "20"])
    def commands():
        text = subprocess.run(["redis-cli", "-p", str(redis_port), "info", "commandstats"], capture_output=True, check=True, text=True).stdout
        calls = {line.split(":")[0]: int(line.split("calls=")[1].split(",")[0]) for line in text.splitlines() if "calls=" in line}
        return sum(count for name, count in calls.items() if name.split("_")[1] in ("hmget", "eval"))
    before = commands()
    time.sleep(20)
    rate = (commands() - before) / 3 / 10
    report("idle: commands to the store in 2 s for each replica", "≤ 1", f"{rate:.1f}", rate <= 1.2, counts=False)
    fleet.end()


def one_fetch_for_many():
    one_fetch_for_all(count=8, callers=100)


class Load:
    """Callers that request one cold day after the other, twelve at each of some replicas, until the load ends. The pages of one
    day are fetched one after the other, so fewer days would not use the limit."""

    def __init__(self, gateways, days):
        self.days, self.lock, self.ended = list(days), threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.call, args=(gateway,)) for gateway in gateways for _ in range(12)]
        for thread in self.threads:
            thread.start()

    def call(self, gateway):
        while not self.ended.is_set():
            with self.lock:
                date = self.days.pop()
            status = None
            while status != 200 and not self.ended.is_set():
                try:
                    path = f"/v1/reports/activity?start_date={date}&end_date={date}&trailing=held"
                    status = request(gateway.port, "GET", path)[0]
                except OSError:
                    pass
                if status != 200:
                    time.sleep(0.2)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def upstream_calls(fleet):
    """Calls of all replicas that run, and those of them that Feishu refused."""
    counts = [(gateway.metric("feishu_pulse_upstream_permits_total") or 0, gateway.metric("feishu_pulse_upstream_refusals_total") or 0)
              for gateway in fleet.gateways if gateway.process.poll() is None]
    return sum(calls for calls, _ in counts), sum(refused for _, refused in counts)


def use(fleet, rate, seconds):
    """The share of the limit that was used in some seconds, and the share of refused calls, in percent."""
    calls, refused = upstream_calls(fleet)
    began = time.monotonic()
    time.sleep(seconds)
    later, later_refused = upstream_calls(fleet)
    sent, refused = later - calls, later_refused - refused
    return 100 * (sent - refused) / rate / (time.monotonic() - began), 100 * refused / sent


def use_of_the_limit():
    for rate, count, busy in [(50, 1, 1), (50, 2, 2), (50, 3, 3), (50, 3, 1), (50, 8, 8), (50, 8, 1), (5, 1, 1), (5, 8, 8), (5, 8, 1)]:
        name = f"use-{rate}-{count}-{busy}"
        fleet = Fleet(name, count, ["--users", str(rate * 200), "--days", "200", "--limit", f"{rate}/s", "--latency", "100ms"])
        # A busy replica that does not lead shows the whole way.
        load = Load(fleet.gateways if busy == count else fleet.followers()[:busy], dates(180))
        time.sleep(45)
        used, refused = use(fleet, rate, 90)
        load.end()
        fleet.end()
        report(f"{rate}/s, {count} replicas, {busy} of them busy, 90 s after the first 45 s: used, refused", "≥ 97 %, ≤ 1 %",
               f"{used:.1f} %, {refused:.2f} %", used >= 97 and refused <= 1, counts=False)


def use_after_a_kill():
    fleet = Fleet("use-kill", 3, ["--users", "10000", "--days", "200", "--limit", "50/s", "--latency", "100ms"])
    load = Load(fleet.gateways, dates(180))
    time.sleep(60)
    leader = fleet.leader()
    leader.process.kill()
    leader.process.wait()
    used, refused = use(fleet, 50, 300)
    load.end()
    fleet.end()
    report("50/s, 3 replicas, the 5 min after kill -9 of the leader: used, refused", "≥ 95 %, ≤ 1 %", f"{used:.1f} %, {refused:.2f} %", used >= 95, counts=False)


def cost_of_asking_the_leader():
    for users, goal, rounds in [(2000, 5, 12), (100_000, 250, 3)]:
        fleet = Fleet(f"cost-{users}", 2, ["--users", str(users), "--days", "12"])
        # Days that can still change are not archived, so a follower that starts must ask the leader for them.
        today = time.time() + 8 * 3600
        recent = [time.strftime("%Y-%m-%d", time.gmtime(today - 86400 * back)) for back in (1, 2)]
        paths = [f"/v1/reports/activity?start_date={date}&end_date={date}&trailing=held" for date in recent]
        leader = fleet.leader()
        for path in paths:
            until(lambda: request(leader.port, "GET", path)[0] == 200, 600, "the leader holds the day")
        first, later = [], []
        for _ in range(rounds):
            follower = fleet.followers()[0]
            for path in paths:
                for times in (first, later):
                    began = time.monotonic()
                    status = request(follower.port, "GET", path)[0]
                    times.append(1000 * (time.monotonic() - began))
                    assert status == 200, status
            stop(follower.process)
            follower.run()
            # The first request of a process also pays for the connections.
            request(follower.port, "GET", f"/v1/reports/activity?start_date={dates(1)[0]}&end_date={dates(1)[0]}&trailing=held")
        cost = statistics.median(first) - statistics.median(later)
        report(f"a day of {users} people that the leader holds, asked at a follower: median above a hit", f"≤ {goal} ms", f"{cost:.1f} ms", cost <= goal, counts=False)
        fleet.end()


def cost_of_a_hit():
    date = dates(1)[0]
    path = f"/v1/reports/activity?start_date={date}&end_date={date}&trailing=held"
    requests = 20_000

    def processor_time(gateway):
        with open(f"/proc/{gateway.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cost(gateway):
        """Microseconds of processor time for each request."""
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        before = processor_time(gateway)
        for _ in range(requests):
            connection.request("GET", path)
            assert connection.getresponse().read()
        connection.close()
        return 1e6 * (processor_time(gateway) - before) / requests

    alone, fleet = Fleet("hit-1", 1, ["--users", "2000"], PULSE_FLEET="none"), Fleet("hit-2", 2, ["--users", "2000"])
    follower = fleet.followers()[0]
    pairs = []
    for gateway in (alone.gateways[0], follower):
        gateway.day(date)
        cost(gateway)
    for _ in range(8):
        pairs.append((cost(alone.gateways[0]), cost(follower)))
    # Other programs only make a request dearer, so the smallest figures are compared.
    single, member = (min(costs) for costs in zip(*pairs))
    difference = 100 * (member / single - 1)
    report("processor time of a hit: one replica without a fleet, a follower", "≤ 2 % more", f"{single:.1f} µs, {member:.1f} µs ({difference:+.1f} %)", difference <= 2, counts=False)
    alone.end()
    fleet.end()


# Five minutes of a debug build.
SCENARIOS = [one_fetch_for_all, batches, kills, kills_with_a_bucket, rolling_restart, pause_of_the_leader, faults_of_the_store,
             leader_cut_from_the_store, deletion, clocks, idle]
# Half an hour, and a minute for each of ten kills.
LONG_SCENARIOS = [one_fetch_for_many, use_of_the_limit, use_after_a_kill, cost_of_asking_the_leader, cost_of_a_hit]

try:
    redis_port, bucket_port = free_port(), free_port()
    bucket = f"http://127.0.0.1:{bucket_port}"
    redis = start("redis", ["redis-server", "--bind", "127.0.0.1", "--port", str(redis_port), "--save", "", "--appendonly", "no", "--dir", scratch])
    start("bucket", ["moto_server", "--host", "127.0.0.1", "--port", str(bucket_port)])
    until(lambda: answers(bucket_port, "/moto-api/"), 60, "the bucket answers")
    os.environ.update(CLOUD)
    boto3.client("s3", endpoint_url=bucket, config=Config(s3={"addressing_style": "path"})).create_bucket(Bucket="lake")
    for scenario in [*SCENARIOS, *LONG_SCENARIOS]:
        if scenario.__name__ in options.scenarios if options.scenarios else options.long or scenario in SCENARIOS:
            print(f"-- {scenario.__name__}", flush=True)
            scenario()
    print("\n| fault | goal | result | met |\n| --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
finally:
    for process in started:
        stop(process, signal.SIGKILL)
    if wrong:
        print(f"the logs are in {scratch}", file=sys.stderr)
    else:
        shutil.rmtree(scratch, ignore_errors=True)
if wrong:
    raise SystemExit("wrong: " + "; ".join(wrong))
