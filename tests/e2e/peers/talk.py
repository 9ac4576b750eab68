"""What tests say about sound and the ends of calls."""
from . import ear, net

ANSWER_TO_SOUND_S = 0.3


def hear_each_other(left, right, since, packets=50, within=ANSWER_TO_SOUND_S):
    """Each ear hears the other's tone within 0.3 s of the answer (`since`), then without a gap
    for `packets` packets, and never its own."""
    for listener, speaker in ((left, right), (right, left)):
        heard_at = listener.wait_tone(speaker.tone, since=since - 0.05)
        assert heard_at - since <= within, \
            f"{speaker.tone} Hz came {heard_at - since:.3f} s after the answer"
    steady(left, right, packets)


def steady(left, right, packets=50):
    """Sound flows both ways from here on: nothing lost, no dropout, no own tone."""
    starts = [left.wait_tone(right.tone), right.wait_tone(left.tone)]
    for listener, speaker, since in ((left, right, starts[0]), (right, left, starts[1])):
        since = max(since, listener.audio()[-1].at)
        listener.wait_packets(packets, timeout=packets * 0.02 + 5, since=since)
        assert listener.lost(since) == 0
        assert listener.dropouts(speaker.tone, since) == 0
        assert listener.hears_not(listener.tone, since), "an own tone came back"


def quiet_after(listener, freq, since):
    """The tone is not heard any more among what arrived after `since`."""
    assert ear.hears_not(listener.samples(since), freq)


def echo_call(client, line, far, events, tone=620):
    """A call that is up, and heard: (its id, the far end's side)."""
    call = client.make_call(line, far.number, {"echo": True})
    remote = far.expect_invite(ear=ear.Ear(far.address, tone=tone)).answer()
    events.wait_call("answered", call["id"])
    remote.ear.wait_tone(tone)
    return call["id"], remote


def live_calls(client):
    return [c for c in client.calls() if c["state"] != "ended"]


def wait_no_calls(client, timeout=5):
    net.until(lambda: not live_calls(client), timeout, "no call is left")
