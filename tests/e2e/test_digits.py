"""A thousand digits by each method, counted by other people's decoders: none lost, none doubled, in order."""
import random
import re

import numpy
import pytest

from peers import ear, net
from peers.ear import Ear
from peers.judge import inband_digits

ALL = "0123456789*#ABCD"
COUNT = 1000
A_REQUEST = 250


def thousand(seed, keys=ALL):
    """Every key follows every other, itself too."""
    return "".join(random.Random(seed).choices(keys, k=COUNT))


@pytest.fixture
def answered(tenant, line, provider, events):
    """answered(number, address): the id of a call that who has that number there has taken."""
    def make(number, address, **fields):
        provider.add_number(number, address)
        call_id = tenant.make_call(line, number, {"echo": True}, **fields)["id"]
        events.wait_call("answered", call_id)
        return call_id
    return make


@pytest.fixture
def events(tenant):
    return tenant.events()


def dial(tenant, call_id, digits, **how):
    """The operations under which they go out: all at once, they queue."""
    return [tenant.ok("POST", "/api/dtmf/",
                      {"call_id": call_id, "digits": digits[at:at + A_REQUEST], "duration_ms": 50,
                       "gap_ms": 40, **how}, 202)["operation_id"]
            for at in range(0, len(digits), A_REQUEST)]


def wait_sent(events, call_id, operations, method):
    for operation in operations:
        sent = events.wait_call("dtmf_sent", call_id, 150,
                                predicate=lambda m: m["detail"]["operation_id"] == operation)
        assert sent["detail"]["complete"] is True and sent["detail"]["method"] == method


def infos(sipp):
    """(digits, requests sent again) that SIPp has in its log."""
    found, again = {}, 0
    for message in re.split(r"-{20,}", sipp.messages()):
        if "INFO sip:" not in message or "received" not in message:
            continue
        cseq = int(re.search(r"CSeq: *(\d+) INFO", message).group(1))
        again += cseq in found
        found[cseq] = re.search(r"Signal=(.)", message).group(1)
    return "".join(found[cseq] for cseq in sorted(found)), again


@pytest.mark.timeout(240)
def test_a_thousand_digits_to_other_peoples_ears(tenant, events, answered, phones, sipp):
    """Three calls side by side. baresip counts telephone-events and INFOs, SIPp INFOs, and spandsp what
    another baresip has written down of the tones."""
    quiet = numpy.zeros(ear.RATE * 200)
    numbers = {name: f"+4930{net.digits(8)}" for name in ("rfc4733", "info", "inband", "sipp")}
    listens = {method: phones(numbers[method], "none", "127.0.0.1", register=False,
                              answer="auto", sound=quiet)
               for method in ("rfc4733", "info", "inband")}
    other = sipp("digits.xml", timeout=230)
    calls = {name: answered(number, listens.get(name, other).address)
             for name, number in numbers.items()}
    sent = {name: thousand(name) for name in calls}
    operations = {name: dial(tenant, calls[name], sent[name],
                             method="info" if name == "sipp" else name) for name in calls}
    for name in calls:
        wait_sent(events, calls[name], operations[name], "info" if name == "sipp" else name)
    for method in ("rfc4733", "info"):
        net.until(lambda: len(listens[method].digits()) >= COUNT, 5, f"{method} is complete")
        assert listens[method].digits() == sent[method]
    for name, call_id in calls.items():
        tenant.hangup(call_id)
        events.wait_ended(call_id)
    assert other.wait() == 0
    assert infos(other) == (sent["sipp"], 0)
    for method, phone in listens.items():
        phone.wait_closed()
        phone.close()
        heard = inband_digits(next(phone.heard_directory.glob("dump-*-dec.wav")))
        assert heard == (sent[method] if method == "inband" else ""), method
        assert phone.digits() == (sent[method] if method != "inband" else ""), method



# ---- the other way ----


def told(events, call_id):
    return "".join(m["detail"]["digit"] for m in events.all("call.dtmf", call_id=call_id))


def wait_told(events, call_id, digits, method, timeout):
    net.until(lambda: len(told(events, call_id)) >= len(digits), timeout, f"{method} is complete")
    assert told(events, call_id) == digits, method
    assert {m["detail"]["method"] for m in events.all("call.dtmf", call_id=call_id)} == {method}


ROUNDS = 20  # a scenario of SIPp's has 64 KiB at most


def info_steps(digits):
    """What SIPp sends, over and over, one INFO when the last is answered."""
    return "".join(f"""
  <send retrans="500"><![CDATA[
    INFO [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    Max-Forwards: 70
    [routes]
    From: [$callee];tag=[pid]SIPp[call_number]
    To: [$caller]
    Call-ID: [call_id]
    CSeq: [cseq] INFO
    Content-Type: application/dtmf-relay
    Content-Length: [len]

    Signal={digit}
    Duration=100
  ]]></send>
  <recv response="200"/>
  <pause milliseconds="60"/>
""" for digit in digits)


@pytest.mark.timeout(240)
def test_a_thousand_digits_from_other_peoples_keys(tenant, provider, far_ends, events, answered,
                                                   phones, sipp):
    """Four calls side by side: baresip's keys, SIPp's INFOs, tones that baresip plays, and our own peer, of
    whose five packets for each digit only one arrives."""
    sent = {name: thousand(name) for name in ("keys", "info", "tones", "torn")}
    sent["keys"] = sent["keys"][:COUNT * 4 // 10]  # each takes it 0.2 s
    round_of_infos = sent["info"][:COUNT // ROUNDS]
    sent["info"] = round_of_infos * ROUNDS
    numbers = {name: f"+4930{net.digits(8)}" for name in sent}
    quiet = numpy.zeros(ear.RATE * 200)
    pressed = phones(numbers["keys"], "none", "127.0.0.1", register=False, answer="auto",
                     sound=quiet)
    lead = numpy.zeros(ear.RATE // 2)
    played = phones(numbers["tones"], "none", "127.0.0.1", register=False, answer="auto",
                    sound=numpy.concatenate([lead, ear.dtmf(sent["tones"], 0.05, 0.05), quiet]))
    asked = sipp("keys.xml", timeout=230,
                 words={"INFOS": info_steps(round_of_infos), "ROUNDS": ROUNDS})
    calls = {"keys": answered(numbers["keys"], pressed.address),
             "info": answered(numbers["info"], asked.address)}
    line = tenant.registered_profile(provider, dtmf_mode="inband")
    provider.add_number(numbers["tones"], played.address)
    calls["tones"] = tenant.make_call(line, numbers["tones"], {"echo": True})["id"]
    torn = far_ends()
    calls["torn"] = tenant.make_call(line, torn.number, {"echo": True})["id"]
    remote = torn.expect_invite(ear=Ear(torn.address, tone=None)).answer()
    for digit in sent["torn"]:
        remote.ear.press(digit, packets=2, only=random.randrange(5))
    for digit in sent["keys"]:
        pressed.press(digit)
    wait_told(events, calls["torn"], sent["torn"], "rfc4733", 130)
    wait_told(events, calls["keys"], sent["keys"], "rfc4733", 60)
    wait_told(events, calls["info"], sent["info"], "info", 60)
    wait_told(events, calls["tones"], sent["tones"], "inband", 60)
    for call_id in calls.values():
        tenant.hangup(call_id)
        events.wait_ended(call_id)
    assert asked.wait() == 0
