"""What tests of conference rooms share: who is in, and who hears whom."""
import time

from . import ear

TONES = (440, 620, 850, 1130)
TOPICS = ("calls", "conferences")


def conference(client, room, action, status=200, **fields):
    return client.ok("POST", "/api/conference/", {"room": room, "action": action, **fields}, status)


def refused(client, room, action, status, code, **fields):
    reply = client.post("/api/conference/", {"room": room, "action": action, **fields})
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text


def look(client, room):
    return client.ok("GET", f"/api/conferences/{room}/")


class Party:
    """Somebody in the telephone network who is in the room."""

    def __init__(self, agent, call, member_id=None, call_id=None):
        self.agent, self.call, self.member_id, self.call_id = agent, call, member_id, call_id
        self.ear = call.ear


def heard(listener, tones, seconds=0.8, timeout=6):
    """The tones of this set, no other, and not its own, in what arrives from now on (a moment
    after which nothing is on its way any more)."""
    time_is_up = time.monotonic() + timeout
    while True:
        since = time.monotonic()
        listener.wait_packets(int(seconds / 0.02), timeout=timeout)
        samples = listener.samples(since)
        there = {tone for tone in TONES
                 if ear.hears(samples, tone, at_least_s=seconds * 0.7, min_share=0.12)}
        faint = {tone for tone in TONES if not ear.hears_not(samples, tone)}
        if there == faint == set(tones) or time.monotonic() > time_is_up:
            return there | faint


def everybody_hears_everybody(parties):
    for party in parties:
        others = {p.ear.tone for p in parties if p is not party}
        assert heard(party.ear, others) == others


def hears_music(listener, seconds=2.0, timeout=10):
    """Sound without a pause, of notes of the music on hold, and nobody's tone."""
    since = time.monotonic()
    listener.wait_packets(int(seconds / 0.02), timeout=timeout)
    samples = listener.samples(since)
    half = len(samples) // 4
    for at in range(0, len(samples) - half + 1, half):
        block = samples[at:at + half]
        assert ear.level_of(block) > 0.01, "music is there all the time"
        assert all(ear.tone_share(block, tone) < 0.05 for tone in TONES)
    notes = (261.63, 293.66, 311.13, 349.23, 392, 415.3, 466.16, 523.25, 587.33)
    assert sum(ear.tone_share(samples, note) for note in notes) > 0.25
