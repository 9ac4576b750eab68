"""Prompts: uploaded or spoken, kept, listened to, and played to a call."""
import concurrent.futures
import io
import wave

import pytest

from peers import ear, net
from peers.ear import Ear


def upload(client, data, filename="sound.wav", **more):
    return client.request("POST", "/api/prompts/", files={"file": (filename, data)}, **more)


def wav(samples, rate=ear.RATE):
    file = io.BytesIO()
    ear.write_wav(file, samples, rate)
    return file.getvalue()


@pytest.mark.core
def test_a_prompt_lives_and_dies(tenant):
    created = upload(tenant, wav(ear.tone(850, 1.0, rate=44100), 44100), "Good morning.wav")
    assert created.status_code == 201, created.text
    prompt = created.json()
    assert prompt["name"] == "Good morning" and prompt["source"] == "upload"
    assert abs(prompt["duration_ms"] - 1000) < 5
    path = f"/api/prompts/{prompt['id']}/"
    assert created.headers["Location"] == path
    assert tenant.ok("GET", path) == prompt
    spoken = tenant.ok("POST", "/api/prompts/", {"name": "Bye", "say": "Good bye."}, 201)
    assert spoken["source"] == "speech" and spoken["voice"] == "en"
    listed = tenant.ok("GET", "/api/prompts/?ordering=name")["results"]
    assert [p["name"] for p in listed] == ["Bye", "Good morning"]
    assert tenant.ok("GET", "/api/prompts/?search=BYE")["count"] == 1

    whole = tenant.get(path + "audio/")
    with wave.open(io.BytesIO(whole.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        assert abs(file.getnframes() - 16000) < 100
    assert len(whole.content) == prompt["size"]
    assert whole.headers["ETag"] == f'"{prompt["sha256"]}"'
    part = tenant.get(path + "audio/", headers={"Range": "bytes=100-299"})
    assert part.status_code == 206 and part.content == whole.content[100:300]
    assert part.headers["Content-Range"] == f"bytes 100-299/{prompt['size']}"
    assert tenant.get(path + "audio/", headers={"Range": "bytes=99999999-"}).status_code == 416
    same = tenant.get(path + "audio/", headers={"If-None-Match": whole.headers["ETag"]})
    assert same.status_code == 304 and not same.content
    head = tenant.request("HEAD", path + "audio/")
    assert head.headers["Content-Length"] == str(prompt["size"])

    assert tenant.delete(path).status_code == 204
    assert tenant.get(path).status_code == 404
    assert tenant.get(path + "audio/").status_code == 404
    files = list((tenant.daemon.directory / "data" / "prompts").rglob(f"{prompt['id']}*"))
    assert files == []


def test_what_is_no_sound_is_refused(tenant):
    for data in (b"", b"RIFF", b"this is text, not sound" * 100, wav(ear.tone(440, 0.0))):
        reply = upload(tenant, data)
        assert reply.status_code == 400 and "file" in reply.json(), (data[:20], reply.text)
    reply = upload(tenant, b"\0" * (26 << 20))
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    reply = upload(tenant, b"\0" * (26 << 20), token=False)
    assert reply.status_code == 401
    reply = tenant.request("POST", "/api/prompts/", data=b"x",
                           headers={"Content-Type": "audio/wav"})
    assert reply.status_code == 415
    reply = tenant.request("POST", "/api/prompts/", data=b"nonsense",
                           headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert reply.status_code == 400
    assert tenant.ok("GET", "/api/prompts/")["count"] == 0


def test_an_agent_plays_what_a_supervisor_uploaded(tenant, provider, far_end):
    supervisor, agent = tenant.add_user("supervisor"), tenant.add_user("agent")
    prompt = supervisor.add_prompt("Tone", ear.tone(850, 2.0))
    assert upload(agent, wav(ear.tone(850, 1.0))).status_code == 403
    line = agent.registered_profile(provider)
    events = agent.events()
    call = agent.make_call(line, far_end.number, {"play": prompt["id"]})
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None)).answer()
    remote.ear.wait_tone(850)
    events.wait_ended(call["id"])
    assert remote.ear.hears(850, at_least_s=1.8), "to its end"
    assert supervisor.delete(f"/api/prompts/{prompt['id']}/").status_code == 204
    reply = agent.post("/api/make-call/", {"profile_id": line["id"], "to": far_end.number,
                                           "connect": {"play": prompt["id"]}})
    assert reply.status_code == 400
    assert reply.json() == {"connect": {"play": ["There is no such prompt."]}}


@pytest.mark.core
def test_edits_at_once_of_one_profile_all_last(tenant):
    line = tenant.add_profile(server=net.fresh_address(), user="trunk", register=False)
    edits = [{"name": "new name"}, {"max_calls": 3}, {"expires": 777}, {"dtmf_mode": "info"},
             {"srtp": "optional"}, {"record": "always"}]
    with concurrent.futures.ThreadPoolExecutor(len(edits)) as pool:
        replies = list(pool.map(lambda edit: tenant.patch(f"/api/sip-profiles/{line['id']}/",
                                                          edit).status_code, edits))
    assert replies == [200] * len(edits)
    after = tenant.profile(line["id"])
    for edit in edits:
        for name, value in edit.items():
            assert after[name] == value, name
