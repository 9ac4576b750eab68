"""Recordings of real calls, by ear: who is on which side, how long, and what a crash or a full disk leaves."""
import contextlib
import hashlib
import io
import os
import sqlite3
import subprocess
import time
import wave

import numpy
import pytest

from peers import ear, net
from peers.ear import Ear
from peers.talk import steady

TOPICS = ("calls", "recordings")


def two_talk(tenant, line, far_end, desk_phones, **fields):
    """A call of two ears: 440 Hz at the desk, 620 Hz outside."""
    phone = desk_phones(tenant)
    call = tenant.make_call(line, far_end.number, **fields)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    at_desk.ear.wait_tone(620)
    remote.ear.wait_tone(440)
    return call["id"], at_desk, remote


def record(client, call, action, status=200, **fields):
    return client.ok("POST", "/api/record-call/", {"call_id": call, "action": action, **fields},
                     status)


def download(client, query, headers=None):
    return client.get(f"/api/download-recording/?{query}", headers=headers)


def sides(content):
    """The channels of a WAV file in -1..1, and its rate."""
    with wave.open(io.BytesIO(content)) as file:
        assert file.getsampwidth() == 2
        samples = numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        return samples.reshape(-1, file.getnchannels()).T, file.getframerate()


def seconds(samples, rate, start, end):
    return samples[int(start * rate):int(end * rate)]


def ready(client, call, timeout=5):
    """The call's newest recording, once it has ended."""
    def newest():
        return [r for r in client.ok("GET", f"/api/recordings/?call_id={call}")["results"][:1]
                if r["state"] in ("ready", "failed")]
    return net.until(newest, timeout, "the recording has ended")[0]


def only(samples, mine, other):
    """One tone all along (a busy machine may cost a frame in a hundred), the other never."""
    heard = ear.frames_with(samples, mine)
    assert sum(heard) >= 0.97 * len(heard), f"{len(heard) - sum(heard)} of {len(heard)} missing"
    assert ear.tone_share(samples, other) < 0.02


def longest_silence(heard):
    """First and last frame of the longest run without the tone."""
    runs, start = [(0, 0)], None
    for i, here in enumerate(heard + [True]):
        if here and start is not None:
            runs.append((start, i))
            start = None
        elif not here and start is None:
            start = i
    return max(runs, key=lambda run: run[1] - run[0])


@pytest.mark.core
def test_on_demand_each_side_is_on_its_channel(tenant, provider, far_end, desk_phones, tenants):
    line = tenant.registered_profile(provider, record="on_demand")
    events = tenant.events(topics=TOPICS)
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)
    assert tenant.call(call)["recording"] == {"state": "none", "id": None}
    began = time.monotonic()
    recording = record(tenant, call, "start")["recording"]
    assert recording["state"] == "recording" and recording["layout"] == "stereo"
    assert record(tenant, call, "start")["recording"]["id"] == recording["id"]
    started = events.wait_for("recording.started", call_id=call)
    assert started["data"]["id"] == recording["id"]
    assert tenant.call(call)["recording"] == {"state": "recording", "id": recording["id"]}
    steady(at_desk.ear, remote.ear, packets=150)
    stopped = record(tenant, call, "stop")["recording"]
    lasted = time.monotonic() - began
    assert stopped["id"] == recording["id"]
    assert record(tenant, call, "stop")["recording"]["id"] == recording["id"]
    done = events.wait_for("recording.ready", call_id=call)["data"]
    steady(at_desk.ear, remote.ear)

    assert done["state"] == "ready" and done["reason"] is None and not done["repaired"]
    assert abs(done["duration_ms"] / 1000 - lasted) < max(0.04, 0.005 * lasted)
    reply = download(tenant, f"recording_id={recording['id']}")
    assert reply.status_code == 200 and reply.headers["Content-Type"] == "audio/wav"
    assert "attachment" in reply.headers["Content-Disposition"]
    assert len(reply.content) == done["size"] == int(reply.headers["Content-Length"])
    assert hashlib.sha256(reply.content).hexdigest() == done["sha256"]
    (left, right), rate = sides(reply.content)
    assert rate == 8000 and len(left) * 1000 // rate == done["duration_ms"]
    only(seconds(left, rate, 0.3, lasted - 0.1), 440, 620)
    only(seconds(right, rate, 0.3, lasted - 0.1), 620, 440)

    # Another segment, in mono, by call_id; then both stay after the call.
    record(tenant, call, "start", layout="mono")
    running = tenant.events(topics=TOPICS).snapshot["recordings"]
    assert [(r["state"], r["layout"], r["call_id"]) for r in running] == [("recording", "mono", call)]
    steady(at_desk.ear, remote.ear)
    tenant.hangup(call)
    at_desk.wait_ended()
    second = ready(tenant, call)
    assert second["id"] != recording["id"] and second["layout"] == "mono"
    channels, rate = sides(download(tenant, f"call_id={call}").content)
    assert len(channels) == 1
    middle = seconds(channels[0], rate, 0.3, 0.9)
    assert ear.tone_share(middle, 440) > 0.2 and ear.tone_share(middle, 620) > 0.2
    assert tenant.log_row(call)["recording"] == {"state": "none", "id": second["id"]}
    assert call in [row["id"] for row in tenant.logs(type="recorded")]
    assert record(tenant, call, "start", 409)["code"] == "wrong_state"

    stranger = tenants()
    for path in (f"/api/recordings/{second['id']}/",
                 f"/api/download-recording/?recording_id={second['id']}",
                 f"/api/download-recording/?call_id={call}"):
        assert stranger.get(path).status_code == 404
    assert stranger.ok("GET", "/api/recordings/")["count"] == 0


def test_always_from_the_answer_with_parts_ranges_and_opus(tenant, provider, far_end, desk_phones):
    line = tenant.registered_profile(provider, record="always")
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)
    net.until(lambda: tenant.call(call)["recording"]["state"] == "recording", 2, "it is recorded")
    steady(at_desk.ear, remote.ear, packets=150)
    remote.bye()
    at_desk.wait_ended()
    done = ready(tenant, call)
    query = f"recording_id={done['id']}"
    whole = download(tenant, query)
    etag = whole.headers["ETag"]
    part = download(tenant, query, {"Range": "bytes=30000-30999"})
    assert part.status_code == 206 and part.content == whole.content[30000:31000]
    assert part.headers["Content-Range"] == f"bytes 30000-30999/{len(whole.content)}"
    assert download(tenant, query, {"Range": "bytes=-100"}).content == whole.content[-100:]
    assert download(tenant, query, {"Range": "bytes=20-60"}).content == whole.content[20:61]
    assert download(tenant, query, {"Range": "bytes=999999999-"}).status_code == 416
    assert download(tenant, query, {"If-None-Match": etag}).status_code == 304
    assert download(tenant, query, {"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200
    part = download(tenant, query, {"Range": "bytes=0-9", "If-Range": etag})
    assert part.status_code == 206 and part.content == whole.content[:10]
    for several in ("bytes=0-9,20-29", "bytes=9-0", "lines=0-9"):
        reply = download(tenant, query, {"Range": several})
        assert reply.status_code == 200 and reply.content == whole.content
    for beyond in ("bytes=-0", f"bytes={len(whole.content)}-"):
        reply = download(tenant, query, {"Range": beyond})
        assert reply.status_code == 416
        assert reply.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    head = tenant.request("HEAD", f"/api/download-recording/?{query}",
                          headers={"Range": "bytes=0-9"})
    assert head.status_code == 200 and not head.content and head.headers["ETag"] == etag
    assert int(head.headers["Content-Length"]) == len(whole.content)

    opus = download(tenant, query + "&format=opus")
    assert opus.status_code == 200 and opus.headers["Content-Type"] == "audio/ogg"
    assert len(opus.content) == int(opus.headers["Content-Length"]) < len(whole.content) / 3
    assert opus.headers["ETag"] == f'"{done["sha256"]}-opus"', "each recording's own"
    part = download(tenant, query + "&format=opus",
                    {"Range": "bytes=100-499", "If-Range": opus.headers["ETag"]})
    assert part.status_code == 206 and part.content == opus.content[100:500]
    for _ in range(25):  # each encodes all of it: nobody gets a core to himself
        many = download(tenant, query + "&format=opus", {"Range": "bytes=0-9"})
        if many.status_code != 206:
            break
    assert many.status_code == 429 and many.json()["code"] == "too_many_attempts"
    assert 1 <= int(many.headers["Retry-After"]) <= 5
    assert download(tenant, query).status_code == 200
    decoded = subprocess.run(["opusdec", "--quiet", "--rate", "8000", "--force-wav", "-", "-"],
                             input=opus.content, stdout=subprocess.PIPE, check=True,
                             timeout=20).stdout if _has("opusdec") else None
    if decoded:
        (left, right), rate = sides(decoded)
        assert ear.tone_share(seconds(left, rate, 0.5, 2.5), 440) > 0.8
        assert ear.tone_share(seconds(right, rate, 0.5, 2.5), 620) > 0.8

    assert tenant.delete(f"/api/recordings/{done['id']}/").status_code == 204
    assert download(tenant, query).status_code == 404
    assert tenant.get(f"/api/recordings/{done['id']}/").status_code == 404
    gone = tenant.ok("GET", "/api/recordings/?state=deleted")["results"]
    assert [r["id"] for r in gone] == [done["id"]]
    assert call not in [row["id"] for row in tenant.logs(type="recorded")]


def _has(program):
    return any(os.access(os.path.join(p, program), os.X_OK) for p in os.environ["PATH"].split(":"))


def test_a_pause_is_silence_of_the_same_length(tenant, provider, far_end, desk_phones):
    line = tenant.registered_profile(provider, record="on_demand")
    events = tenant.events(topics=TOPICS)
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones, record=True)
    assert record(tenant, call, "resume")["recording"]["state"] == "recording"
    began = time.monotonic()
    at_desk.ear.wait_packets(50)
    paused_at = time.monotonic()
    assert record(tenant, call, "pause")["recording"]["state"] == "paused"
    assert tenant.call(call)["recording"]["state"] == "paused"
    assert record(tenant, call, "start", 409)["state"] == "paused"
    at_desk.ear.wait_packets(50, since=paused_at)
    resumed_at = time.monotonic()
    record(tenant, call, "resume")
    at_desk.ear.wait_packets(50, since=resumed_at)
    record(tenant, call, "stop")
    done = events.wait_for("recording.ready", call_id=call)["data"]
    assert events.all("recording.paused") and events.all("recording.resumed")
    (left, right), rate = sides(download(tenant, f"call_id={call}").content)
    for samples, tone in ((left, 440), (right, 620)):
        heard = ear.frames_with(samples, tone)
        first, last = longest_silence(heard)
        assert abs((last - first) * 0.02 - (resumed_at - paused_at)) < 0.15
        assert ear.level_of(samples[(first + 2) * 160:(last - 2) * 160]) < 0.0001
        assert sum(heard[last:]) > 40
    assert done["duration_ms"] >= (resumed_at - began) * 1000
    assert record(tenant, call, "pause", 409)["code"] == "wrong_state"


def test_digits_are_nobodys_business_while_it_is_paused(tenant, provider, far_end, desk_phones):
    line = tenant.registered_profile(provider, record="always")
    events = tenant.events()
    call, _, remote = two_talk(tenant, line, far_end, desk_phones)
    net.until(lambda: tenant.call(call)["recording"]["state"] == "recording", 2, "it is recorded")

    def pressed(digit):
        before = len(events.all("call.dtmf", call_id=call))
        remote.ear.press(digit)
        net.until(lambda: len(events.all("call.dtmf", call_id=call)) > before, 5, "it was told")
        detail = events.all("call.dtmf", call_id=call)[-1]["detail"]
        return detail["digit"], detail["masked"]
    assert pressed("4") == ("4", False)
    record(tenant, call, "pause")
    assert pressed("7") == (None, True)
    record(tenant, call, "resume")
    assert pressed("9") == ("9", False)

    def told():
        timeline = tenant.ok("GET", f"/api/calls/{call}/timeline/")["results"]
        return [e["detail"]["digit"] for e in timeline if e["type"] == "call.dtmf"]
    net.until(lambda: len(told()) == 3, 5, "they are in the timeline")
    assert told() == ["4", None, "9"]


@pytest.mark.core
def test_hold_mute_and_another_codec_are_nothing_to_it(tenant, provider, far_end, desk_phones):
    line = tenant.registered_profile(provider, record="always")
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)
    net.until(lambda: tenant.call(call)["recording"]["state"] == "recording", 2, "it is recorded")
    marks = [time.monotonic()]

    def mark(packets=60):
        """The time when what was done must have taken effect, and some sound after it."""
        marks.append(time.monotonic())
        at_desk.ear.wait_sent(packets)
        marks.append(time.monotonic())
    mark()
    remote.ear.direction = "recvonly"
    tenant.ok("POST", "/api/hold-call/", {"call_id": call, "action": "hold"})
    mark()
    remote.ear.direction = "sendrecv"
    tenant.ok("POST", "/api/hold-call/", {"call_id": call, "action": "resume"})
    mark()
    remote.ear.codecs = ["PCMA"]
    assert remote.reinvite().status == 200
    assert remote.ear.codec == "PCMA"
    mark()
    leg = next(leg["id"] for leg in tenant.call(call)["legs"] if leg["role"] == "agent")
    tenant.ok("POST", "/api/mute-call/", {"call_id": call, "leg_id": leg, "muted": True})
    mark()
    tenant.ok("POST", "/api/mute-call/", {"call_id": call, "leg_id": leg, "muted": False})
    mark()
    ended_at = time.monotonic()
    remote.bye()
    at_desk.wait_ended()
    done = ready(tenant, call)
    assert done["state"] == "ready"
    (left, right), rate = sides(download(tenant, f"call_id={call}").content)
    began_at = ended_at - len(left) / rate
    assert abs(len(left) / rate - (ended_at - marks[0])) < 0.6
    heard = []
    for start, end in zip(marks[1::2], marks[2::2]):
        part = [seconds(side, rate, start - began_at + 0.25, end - began_at - 0.1)
                for side in (left, right)]
        heard.append((ear.tone_share(part[0], 440) > 0.5, ear.tone_share(part[1], 620) > 0.5))
        assert ear.tone_share(part[0], 620) < 0.02 and ear.tone_share(part[1], 440) < 0.02
    both, agent, other = (True, True), (True, False), (False, True)
    assert heard == [both, agent, both, both, other, both]


def test_who_is_recorded_hears_a_beep_where_the_profile_says_so(tenant, provider, far_end,
                                                                desk_phones):
    line = tenant.registered_profile(provider, record="on_demand", record_beep=True)
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)

    def beep_heard(each, since):
        """The share of the beep in the 100 ms that have most of it."""
        samples = each.samples(since)
        return max(ear.tone_share(samples[at:at + 800], 1400)
                   for at in range(0, len(samples) - 800, 400))
    since = time.monotonic()
    for each in (at_desk.ear, remote.ear):
        each.wait_packets(50, since=since)
        assert beep_heard(each, since) < 0.005
    since = time.monotonic()
    record(tenant, call, "start")
    for each in (at_desk.ear, remote.ear):
        each.wait_packets(50, since=since)
        assert beep_heard(each, since) > 0.02
    steady(at_desk.ear, remote.ear)
    record(tenant, call, "stop")
    ready(tenant, call)
    (left, right), rate = sides(download(tenant, f"call_id={call}").content)
    only(seconds(left, rate, 0.1, len(left) / rate), 440, 1400)
    only(seconds(right, rate, 0.1, len(right) / rate), 620, 1400)


def test_a_segment_is_deleted_while_the_call_is_up(tenant, provider, far_end, desk_phones):
    line = tenant.registered_profile(provider, record="on_demand")
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)
    made = []
    for _ in range(3):
        made.append(record(tenant, call, "start")["recording"]["id"])
        at_desk.ear.wait_sent(20)
        record(tenant, call, "stop")
    for each in made:
        net.until(lambda: tenant.ok("GET", f"/api/recordings/{each}/")["state"] == "ready", 5,
                  "it is ready")
    assert tenant.call(call)["recording"] == {"state": "none", "id": made[2]}
    for position in (2, 0):
        assert tenant.delete(f"/api/recordings/{made[position]}/").status_code == 204
        net.until(lambda: tenant.call(call)["recording"]["id"] == made[1], 5, "the newest is left")
    tenant.hangup(call)
    at_desk.wait_ended()
    net.until(lambda: tenant.log_row(call)["state"] == "ended", 5, "it is in the log")
    assert tenant.log_row(call)["recording"]["id"] == made[1]
    assert [call] == [row["id"] for row in tenant.logs(type="recorded")]
    assert download(tenant, f"call_id={call}").status_code == 200
    assert tenant.delete(f"/api/recordings/{made[1]}/").status_code == 204
    assert tenant.logs(type="recorded") == []
    assert download(tenant, f"call_id={call}").status_code == 404


def test_what_was_kept_long_enough_goes_and_what_is_held_stays(own_daemon, provider, far_end,
                                                               desk_phones):
    daemon = own_daemon(env={"JACKFIELD_RECORDINGS_SWEEP_S": "1"})
    tenant = daemon.signup()
    line = tenant.registered_profile(provider, record="on_demand")
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)
    made = []
    for _ in range(3):
        made.append(record(tenant, call, "start")["recording"]["id"])
        net.until(lambda: tenant.get(f"/api/recordings/{made[-1]}/").status_code == 200, 5, "a row")
        refused = tenant.patch(f"/api/recordings/{made[-1]}/", {"legal_hold": True})
        assert refused.status_code == 409 and refused.json()["code"] == "wrong_state"
        at_desk.ear.wait_sent(20)
        record(tenant, call, "stop")
        net.until(lambda: tenant.ok("GET", f"/api/recordings/{made[-1]}/")["state"] == "ready", 5,
                  "it is ready")
    tenant.hangup(call)
    old, held, young = made
    reply = tenant.patch(f"/api/recordings/{held}/", {"legal_hold": True})
    assert reply.status_code == 200 and reply.json()["legal_hold"] is True
    assert tenant.delete(f"/api/recordings/{held}/").json()["code"] == "legal_hold"
    settings = tenant.ok("GET", "/api/recording-settings/")
    assert settings == {"retention_days": None, "default_retention_days": 0}
    assert tenant.patch("/api/recording-settings/", {"retention_days": -1}).status_code == 400

    directory = next((daemon.directory / "data/recordings").iterdir())
    files = {path.name for path in directory.iterdir()}
    assert len(files) == 3
    ours, fresh, strange = (directory / name for name in ("0" * 32, "1" * 32, "notes.txt"))
    foreign = directory.parent / "00000000-0000-7000-8000-000000000000" / ("2" * 32)
    foreign.parent.mkdir()
    for path in (ours, fresh, strange, foreign):
        path.write_bytes(b"x")
    eight_days_ago = time.time() - 8 * 86400
    for path in (ours, strange, foreign):
        os.utime(path, (eight_days_ago, eight_days_ago))
    with contextlib.closing(sqlite3.connect(daemon.directory / "data/jackfield.db",
                                            timeout=10)) as database, database:
        changed = database.execute("UPDATE recording SET started_at = started_at - 86400000000 * 31"
                                   " WHERE hex(id) IN (?, ?) OR id IN (?, ?)",
                                   [old.replace("-", "").upper(), held.replace("-", "").upper(),
                                    old, held]).rowcount
    assert changed == 2
    time_passes = tenant.ok("GET", "/api/recordings/")["count"]
    assert time_passes == 3, "nobody said how long they are kept"
    assert tenant.patch("/api/recording-settings/", {"retention_days": 30}).status_code == 200
    net.until(lambda: tenant.get(f"/api/recordings/{old}/").status_code == 404, 10, "it expired")
    net.until(lambda: not ours.exists(), 10, "nobody knows that file")
    left = {path.name for path in directory.iterdir()} - {fresh.name, strange.name}
    assert len(left) == 2 and left < files
    for path in (fresh, strange, foreign):
        assert path.exists()
    for each in (held, young):
        assert download(tenant, f"recording_id={each}").status_code == 200
    assert tenant.patch(f"/api/recordings/{held}/", {"legal_hold": False}).status_code == 200
    net.until(lambda: tenant.get(f"/api/recordings/{held}/").status_code == 404, 10,
              "nobody holds it any more")
    # Counted once the row and its file are gone.
    net.until(lambda: daemon.metrics()["jackfield_recordings_expired_total"] == 2, 5, "two expired")
    assert tenant.log_row(call)["recording"]["id"] == young
    with contextlib.closing(sqlite3.connect(daemon.directory / "data/jackfield.db",
                                            timeout=10)) as database:
        audited = dict(database.execute("SELECT action, count(*) FROM audit"
                                        " WHERE action LIKE 'recording.%' GROUP BY action"))
    assert audited == {"recording.hold": 1, "recording.release": 1, "recording.retention": 1,
                       "recording.download": 2, "recording.expire": 2}


def test_a_profile_that_never_records_refuses(tenant, provider, far_end, desk_phones):
    line = tenant.registered_profile(provider, record="never")
    refused = tenant.post("/api/make-call/", {"profile_id": line["id"], "to": far_end.number,
                                              "connect": {"echo": True}, "record": True})
    assert refused.status_code == 403 and refused.json()["code"] == "recording_not_allowed"
    call, _, _ = two_talk(tenant, line, far_end, desk_phones)
    assert record(tenant, call, "start", 403)["code"] == "recording_not_allowed"


def test_agents_hear_their_own_only(tenant, provider, far_end, desk_phones):
    anna, ben, boss = (tenant.add_user(role) for role in ("agent", "agent", "supervisor"))
    line = anna.registered_profile(provider, record="always")
    call, at_desk, remote = two_talk(anna, line, far_end, desk_phones)
    anna.hangup(call)
    done = ready(anna, call)
    query = f"recording_id={done['id']}"
    assert download(anna, query).status_code == 200
    assert download(ben, query).status_code == 403
    assert ben.ok("GET", "/api/recordings/")["count"] == 0
    assert download(boss, query).status_code == 200
    assert boss.delete(f"/api/recordings/{done['id']}/").status_code == 403


def test_a_crash_leaves_what_was_said_until_then(own_daemon, provider, far_end, desk_phones):
    daemon = own_daemon()
    tenant = daemon.signup()
    line = tenant.registered_profile(provider, record="always")
    call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)
    at_desk.ear.wait_packets(200)
    daemon.kill()
    daemon.start()
    tenant.login()
    done = ready(tenant, call, timeout=10)
    assert done["state"] == "ready" and done["repaired"]
    assert done["duration_ms"] > 2500
    content = download(tenant, f"call_id={call}").content
    assert hashlib.sha256(content).hexdigest() == done["sha256"]
    (left, right), rate = sides(content)
    only(seconds(left, rate, 0.5, 2.4), 440, 620)
    only(seconds(right, rate, 0.5, 2.4), 620, 440)


def test_a_full_disk_fails_the_recording_and_not_the_call(own_daemon, provider, far_end,
                                                          desk_phones, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).returncode:
        pytest.skip("no file system of our own can be mounted here")
    try:
        daemon = own_daemon(env={"JACKFIELD_RECORDINGS_DIRECTORY": str(small),
                                 "JACKFIELD_RECORDINGS_MIN_FREE_MB": "0"})
        tenant = daemon.signup()
        line = tenant.registered_profile(provider, record="always")
        events = tenant.events(topics=TOPICS)
        call, at_desk, remote = two_talk(tenant, line, far_end, desk_phones)
        failed = events.wait_for("recording.failed", call_id=call)["data"]
        assert failed["state"] == "failed" and failed["reason"] == "disk_full"
        steady(at_desk.ear, remote.ear)
        assert tenant.call(call)["recording"]["state"] == "none"
        (left, right), rate = sides(download(tenant, f"call_id={call}").content)
        assert len(left) / rate > 0.5
        only(seconds(left, rate, 0.3, len(left) / rate), 440, 620)
        daemon.stop()
    finally:
        subprocess.run(["umount", small], check=False)


