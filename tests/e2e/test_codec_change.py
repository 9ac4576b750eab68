"""A re-INVITE to another codec in the middle of a call, from either side: relayed, converted and relayed again, by ear;
also while it is recorded, and on hold.
"""
import pytest

from peers import ear, net
from peers.ear import Ear
from peers.talk import steady
from test_recordings import download, ready, record, sides


SETTLES = 10  # packets after which the change is over: a jitter buffer is filled or emptied meanwhile


@pytest.fixture
def up(tenant, provider, far_end, desk_phones):
    """(call_id, events, desk, remote): both in PCMU, though both could do with PCMA as well."""
    line = tenant.registered_profile(provider, record="on_demand")
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call_id)
    steady(desk.ear, remote.ear)
    return call_id, events, desk, remote


def change(side, codec):
    """It wants this codec and no other, and speaks it from the answer on."""
    side.ear.codecs = [codec]
    answer = side.reinvite()
    assert answer.status == 200, answer
    side.ear.accept(answer.body)
    assert side.ear.codec == codec
    side.ear.wait_packets(SETTLES)


def codecs(tenant, call_id):
    return {leg["role"]: leg["codec"] for leg in tenant.call(call_id)["legs"]}


def one_stream(*listeners):
    for listener in listeners:
        packets = [p for p in listener.audio()]
        assert len({p.ssrc for p in packets}) == 1
        holes = [(a.seq, a.payload_type, b.seq, b.payload_type, round(b.at - packets[0].at, 3))
                 for a, b in zip(packets, packets[1:]) if (b.seq - a.seq) & 0xFFFF != 1]
        assert listener.lost() == 0, f"numbers left out among {len(packets)}: {holes}"
        steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in zip(packets, packets[1:])]
        assert all(step < 0x80000000 for step in steps), "time never goes back"


def last_codec(listener):
    return {0: "PCMU", 8: "PCMA"}[listener.audio()[-1].payload_type]


@pytest.mark.core
@pytest.mark.parametrize("who", ["desk", "remote"])
def test_another_codec_and_back(tenant, up, who):
    call_id, events, desk, remote = up
    side, other = (desk, remote) if who == "desk" else (remote, desk)
    role, beside = ("agent", "remote") if who == "desk" else ("remote", "agent")
    assert codecs(tenant, call_id) == {"agent": "PCMU", "remote": "PCMU"}
    for codec in ("PCMA", "PCMU"):
        change(side, codec)
        steady(desk.ear, remote.ear)
        assert codecs(tenant, call_id) == {role: codec, beside: "PCMU"}
        assert last_codec(side.ear) == codec and last_codec(other.ear) == "PCMU"
    change(desk, "PCMA")
    change(remote, "PCMA")
    steady(desk.ear, remote.ear)
    assert codecs(tenant, call_id) == {"agent": "PCMA", "remote": "PCMA"}
    one_stream(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


def test_a_recording_does_not_mind(tenant, up):
    call_id, events, desk, remote = up
    record(tenant, call_id, "start")
    for side in (remote, desk, remote):
        change(side, "PCMU" if side.ear.codec == "PCMA" else "PCMA")
        steady(desk.ear, remote.ear)
    record(tenant, call_id, "stop")
    recording = ready(tenant, call_id)
    (left, right), rate = sides(download(tenant, f"recording_id={recording['id']}").content)
    for samples, mine, others in ((left, 440, 620), (right, 620, 440)):
        heard = ear.frames_with(samples[int(0.3 * rate):-int(0.2 * rate)], mine)
        assert heard.count(False) <= 0.04 * len(heard), "no more than the changes themselves"
        assert ear.tone_share(samples, others) < 0.02
    remote.bye()
    events.wait_ended(call_id)


def test_on_hold_the_music_goes_on(tenant, up):
    call_id, events, desk, remote = up
    tenant.ok("POST", "/api/hold-call/", {"call_id": call_id, "action": "hold"}, 200)
    events.wait_call("held", call_id)
    change(remote, "PCMA")
    net.until(lambda: last_codec(remote.ear) == "PCMA", 5, "the music comes in the new codec")
    since = remote.ear.audio()[-1].at
    remote.ear.wait_packets(100, timeout=20, since=since)
    blocks = remote.ear.samples(since)
    assert all(ear.level_of(blocks[at:at + 4000]) > 0.01
               for at in range(0, len(blocks) - 4000, 4000))
    assert all(ear.tone_share(blocks, tone) < 0.02 for tone in (440, 620))
    tenant.ok("POST", "/api/hold-call/", {"call_id": call_id, "action": "resume"}, 200)
    events.wait_call("resumed", call_id)
    steady(desk.ear, remote.ear)
    assert codecs(tenant, call_id) == {"agent": "PCMU", "remote": "PCMA"}
    one_stream(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


def test_a_codec_that_we_do_not_have_changes_nothing(tenant, up):
    call_id, events, desk, remote = up
    remote.ear.bump()
    offer = remote.ear.sdp().replace(" 0 8 101", " 3").replace("PCMU/8000", "x/8000")
    answer = remote.reinvite(offer)
    assert answer.status == 488 and answer.get("warning").startswith("30")
    steady(desk.ear, remote.ear)
    assert codecs(tenant, call_id) == {"agent": "PCMU", "remote": "PCMU"}
    remote.bye()
    events.wait_ended(call_id)
