"""What the tests of transfers do and listen for: 440 Hz at the desk that transfers, 620 Hz outside, 880 Hz at the target."""
import time

from peers import ear, net
from peers.ear import Ear
from peers.talk import quiet_after

EFFECT_S = 0.25  # from a reply to what is heard; the machine may be busy
RINGING = 425


def transfer(client, call_id, status=202, **fields):
    return client.ok("POST", "/api/transfer-call/", {"call_id": call_id, **fields}, status)


def act(client, call_id, action, **fields):
    return transfer(client, call_id, action=action, **fields)


def taken(agent, tone=880):
    """The INVITE that rings at an agent, with an ear."""
    return agent.expect_invite(ear=Ear(agent.address, tone=tone))


def settled():
    return time.monotonic() + EFFECT_S


def hears_music(listener, since, *tones):
    listener.wait_packets(60, timeout=20, since=since)
    samples = listener.samples(since)
    assert ear.level_of(samples) > 0.01, "music is there"
    assert all(ear.tone_share(samples, freq) < 0.05 for freq in tones)


def hears_ringing(listener, since):
    listener.wait_tone(RINGING, timeout=8, since=since)


def hears_none_of(listener, since, *tones):
    listener.wait_packets(40, timeout=20, since=since)
    for freq in tones:
        quiet_after(listener, freq, since)


def heard(listener, tones, seconds=0.8, timeout=6):
    """Within the timeout, a while of exactly these of the three tones."""
    def exactly():
        since = time.monotonic()
        listener.wait_packets(int(seconds * 50), timeout=20, since=since)
        samples = listener.samples(since)
        return tones == {tone for tone in (440, 620, 880)
                         if ear.hears(samples, tone, at_least_s=seconds * 0.7, min_share=0.12)}
    net.until(exactly, timeout, f"hears {tones}")


def in_their_legs(call, role):
    return [leg for leg in call["legs"] if leg["role"] == role and leg["state"] != "ended"]


def linked(tenant, call_id, consult_id, reason="completed"):
    """The two rows of the log name each other."""
    row, target = tenant.log_row(call_id), tenant.log_row(consult_id)
    assert row["transferred_to"] == consult_id and target["transferred_from"] == call_id
    assert row["end_reason"] == reason and target["end_reason"] == "completed"
    return row, target


def wait_transferred(events, call_id):
    return events.wait_call("transferred", call_id)["detail"]["consult_call_id"]


def consult(tenant, events, call_id, target, answer=True):
    """(consult id, the target's call)"""
    reply = transfer(tenant, call_id, to=target.number, mode="attended")
    assert reply["state"] == "transferring" and reply["consult_call_id"]
    third = taken(target)
    if answer:
        third.answer()
        events.wait_call("answered", reply["consult_call_id"])
    return reply["consult_call_id"], third


def refer(call, to, headers=(), replaces=None):
    value = f"<sip:{to}@{call.ua.domain}>"
    if replaces is not None:
        quoted = (f"{replaces.call_id};to-tag={replaces.remote_tag};"
                  f"from-tag={replaces.local_tag}").replace("@", "%40").replace(";", "%3B") \
            .replace("=", "%3D")
        value = f"<sip:{to}@{call.ua.domain}?Replaces={quoted}>"
    return call.request("REFER", [("refer-to", value), ("contact", f"<{call.ua.contact}>"),
                                  ("referred-by", f"<{call.ua.aor}>"), *headers])
