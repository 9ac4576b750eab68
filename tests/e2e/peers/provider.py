"""Kamailio as the SIP provider: registrar and proxy with digest on REGISTER and INVITE.

One instance serves many tests: users, their behaviour and the numbers that can be called are
set while it runs, through its RPC socket, and the requests it saw are counted a user.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

from . import net

CONFIG = """
debug=2
log_stderror=yes
log_facility=LOG_LOCAL0
children={children}
tcp_children=2
disable_tcp=no
enable_tls={tls}
auto_aliases=no
server_header="Server: provider"
user_agent_header="User-Agent: provider"
tcp_connection_lifetime=3605
tcp_connect_timeout=2
shm_force_alloc=no
{listen}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "htable.so"
loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "path.so"
loadmodule "jsonrpcs.so"
{tls_module}

modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "{run}/rpc.sock")
modparam("jsonrpcs", "pretty_format", 0)
modparam("tm", "fr_timer", 5000)
modparam("tm", "fr_inv_timer", 120000)
modparam("tm", "restart_fr_on_each_reply", 0)
modparam("rr", "enable_double_rr", 1)
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "nonce_expire", {nonce_expire})
modparam("auth", "nonce_count", 0)
modparam("auth", "qop", "auth")
modparam("registrar", "max_expires", {max_expires})
modparam("registrar", "min_expires", 0)
modparam("registrar", "received_avp", "$avp(received)")
modparam("nathelper", "received_avp", "$avp(received)")
modparam("registrar", "max_contacts", 8)
modparam("usrloc", "db_mode", 0)
modparam("htable", "htable", "user=>size=8;autoexpire=0;")
modparam("htable", "htable", "mode=>size=8;autoexpire=0;")
modparam("htable", "htable", "number=>size=8;autoexpire=0;")
modparam("htable", "htable", "count=>size=8;autoexpire=0;initval=0;")

request_route {{
    if ($sht(mode=>all) =~ "^silent") {{
        drop;
    }}
    if (!is_method("ACK|CANCEL|BYE|PRACK|UPDATE|INFO|NOTIFY")) {{
        $var(seen) = $shtinc(count=>$rm:$fU);
    }}
    force_rport();

    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        route(WITHIN_DIALOG);
        exit;
    }}
    if (is_method("ACK")) {{
        t_check_trans();
        exit;
    }}
    t_check_trans();

    if (is_method("REGISTER")) {{
        route(REGISTRATION);
        exit;
    }}
    if (is_method("OPTIONS") && $rU == $null) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    if (is_method("INVITE")) {{
        route(CALL);
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}

route[WITHIN_DIALOG] {{
    if (loose_route()) {{
        handle_ruri_alias();
        if (is_method("INVITE|UPDATE")) {{
            record_route();
            add_contact_alias();
        }}
        t_on_reply("LEARN");
        t_relay();
        exit;
    }}
    if (is_method("ACK")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    sl_send_reply("404", "Not here");
}}

# The registered user's account, or an answer to the request.
route[AUTHENTICATE] {{
    if ($sht(user=>$au) == $null && $au != $null) {{
        sl_send_reply("403", "No such account");
        exit;
    }}
    if (is_method("REGISTER")) {{
        if ($au == $null || !pv_www_authenticate("$fd", "$sht(user=>$au)", "0")) {{
            www_challenge("$fd", "1");
            exit;
        }}
    }} else {{
        if ($au == $null || !pv_proxy_authenticate("$fd", "$sht(user=>$au)", "0")) {{
            proxy_challenge("$fd", "1");
            exit;
        }}
    }}
    consume_credentials();
}}

route[REGISTRATION] {{
    $var(mode) = $sht(mode=>$fU);
    if ($var(mode) =~ "^silent") drop;
    if ($var(mode) =~ "^reply ") {{
        # "reply CODE REASON" or "reply CODE/RETRY-AFTER REASON"
        $var(code) = $(var(mode){{s.select,1, }});
        $var(reason) = $(var(mode){{re.subst,/^reply [^ ]* //}});
        if ($var(code) =~ "/") {{
            append_to_reply("Retry-After: $(var(code){{s.select,1,/}})\\r\\n");
            $var(code) = $(var(code){{s.select,0,/}});
        }}
        sl_send_reply("$(var(code){{s.int}})", "$var(reason)");
        exit;
    }}
    $var(expires) = $(hdr(Expires){{s.int}});
    if ($(ct{{nameaddr.uri}}) != $null && $ct =~ "expires=") {{
        $var(expires) = $(ct{{re.subst,/.*expires=([0-9]+).*/\\1/s}}{{s.int}});
    }}
    if ($var(mode) =~ "^min ") {{
        $var(min) = $(var(mode){{s.select,1, }}{{s.int}});
        if ($var(expires) > 0 && $var(expires) < $var(min)) {{
            append_to_reply("Min-Expires: $var(min)\\r\\n");
            sl_send_reply("423", "Interval Too Brief");
            exit;
        }}
    }}
    route(AUTHENTICATE);
    if ($var(mode) =~ "^after ") {{
        sl_send_reply("$(var(mode){{s.select,1, }}{{s.int}})", "$(var(mode){{re.subst,/^after [^ ]* //}})");
        exit;
    }}
    if ($var(expires) == 0) {{
        $var(seen) = $shtinc(count=>unregister:$fU);
    }}
    fix_nated_register();
    save("location");
    exit;
}}

route[CALL] {{
    # An own account calls out with its credentials; anyone else may only reach an account.
    if ($sht(user=>$fU) != $null || is_present_hf("Proxy-Authorization")) {{
        if ($sht(mode=>$fU) =~ "^invite ") {{
            $var(mode) = $sht(mode=>$fU);
            sl_send_reply("$(var(mode){{s.select,1, }}{{s.int}})", "$(var(mode){{re.subst,/^invite [^ ]* //}})");
            exit;
        }}
        route(AUTHENTICATE);
    }} else if ($sht(user=>$rU) == $null && $sht(number=>$rU) == $null) {{
        sl_send_reply("403", "Relaying denied");
        exit;
    }}
    record_route();
    add_contact_alias();
    t_on_reply("LEARN");
    if ($sht(number=>$rU) != $null) {{
        $ru = "sip:" + $rU + "@" + $sht(number=>$rU);
        t_relay();
        exit;
    }}
    if (lookup("location")) {{
        t_relay();
        exit;
    }}
    if ($sht(user=>$rU) != $null) {{
        sl_send_reply("480", "Temporarily Unavailable");
    }} else {{
        sl_send_reply("404", "No such number");
    }}
}}

onreply_route[LEARN] {{
    if (has_body("application/sdp") || status =~ "(183)|2[0-9][0-9]") {{
        add_contact_alias();
    }}
}}
"""

TLS_CONFIG = """
[server:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
private_key = {directory}/provider.key
certificate = {directory}/provider.pem
[client:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
"""


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Authority:
    """A certificate authority of the tests; `bundle` is the file that peers must trust."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.bundle = self.directory / "ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", 2, "-subj", "/CN=Test authority", "-keyout", self.directory / "ca.key",
                "-out", self.bundle)

    def issue(self, directory, name, addresses=(), hosts=()):
        """Write NAME.key and NAME.pem for the given addresses and hosts into directory."""
        directory = pathlib.Path(directory)
        alternatives = [f"IP:{a}" for a in addresses] + [f"DNS:{h}" for h in hosts]
        extensions = directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(alternatives)}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={name}", "-keyout", directory / f"{name}.key",
                "-out", directory / f"{name}.csr")
        openssl("x509", "-req", "-in", directory / f"{name}.csr", "-CA", self.bundle,
                "-CAkey", self.directory / "ca.key", "-CAcreateserial", "-days", 2,
                "-extfile", extensions, "-out", directory / f"{name}.pem")
        return directory / f"{name}.pem", directory / f"{name}.key"


class Provider:
    """A Kamailio of its own at its own address, ports 5060 (UDP, TCP) and 5061 (TLS).

    tls: an Authority, or None for UDP and TCP only (starts faster).
    also: further addresses, the same over UDP.
    """

    def __init__(self, directory, algorithm="MD5", tls=None, nonce_expire=300, max_expires=3600,
                 children=2, address=None, shared_mb=32,
                 also=()):
        self.address = address or net.fresh_address()
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.tls = tls
        self.algorithm = algorithm
        self.shared_mb = shared_mb
        self.process = None
        self._numbers = iter(range(1, 1 << 30))
        self._settings = []  # what a restart has to set again
        self._rpc_lock = threading.Lock()
        listen = [f"listen=udp:{self.address}:5060", f"listen=tcp:{self.address}:5060"]
        listen += [f"listen=udp:{other}:5060" for other in also]
        tls_module = ""
        if tls:
            listen.append(f"listen=tls:{self.address}:5061")
            tls_module = ('loadmodule "tls.so"\n'
                          f'modparam("tls", "config", "{self.directory}/tls.cfg")')
            tls.issue(self.directory, "provider", [self.address], ["provider.test"])
            (self.directory / "tls.cfg").write_text(TLS_CONFIG.format(directory=self.directory))
        self.config = self.directory / "kamailio.cfg"
        self.config.write_text(CONFIG.format(
            listen="\n".join(listen), algorithm=algorithm, nonce_expire=nonce_expire,
            max_expires=max_expires, tls="yes" if tls else "no", tls_module=tls_module,
            children=children, run=self.directory))
        self.log_path = self.directory / "kamailio.log"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- life ----

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "rpc.sock").unlink()
        self._log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            ["kamailio", "-DD", "-E", "-m", str(self.shared_mb), "-M", "4", "-f", str(self.config),
             "-Y", str(self.directory), "-w", str(self.directory)],
            stdout=self._log, stderr=self._log, start_new_session=True)
        net.until(self._answers, 20, f"Kamailio at {self.address}, see {self.log_path}", 0.05)
        for setting in self._settings:
            self.rpc(*setting)
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"Kamailio ended: {self.log()[-2000:]}")
        try:
            self.rpc("core.version", timeout=0.5)
            for port in (5060, 5061) if self.tls else (5060,):
                socket.create_connection((self.address, port), timeout=0.5).close()
        except OSError:
            return False
        return self._options()

    def _options(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((self.address, 0))
            probe.settimeout(0.3)
            host, port = probe.getsockname()
            probe.sendto((f"OPTIONS sip:{self.address} SIP/2.0\r\n"
                          f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKprobe{next(self._numbers)}"
                          f"\r\nFrom: <sip:probe@{host}>;tag=1\r\nTo: <sip:{self.address}>\r\n"
                          f"Call-ID: probe{next(self._numbers)}\r\nCSeq: 1 OPTIONS\r\n"
                          "Max-Forwards: 5\r\nContent-Length: 0\r\n\r\n").encode(),
                         (self.address, 5060))
            try:
                return b" 200 " in probe.recv(2000)
            except OSError:
                return False

    def stop(self, kill=False):
        """kill: all at once, without a word to anyone; registrations are forgotten either way."""
        if not self.process:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self._log.close()
        self.process = None

    def kill(self):
        self.stop(kill=True)

    def log(self):
        return self.log_path.read_text(errors="replace")

    # ---- its RPC ----

    def rpc(self, method, *params, timeout=3):
        with self._rpc_lock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            name = self.directory / f"c{next(self._numbers)}.sock"
            client.bind(str(name))
            client.settimeout(timeout)
            try:
                client.sendto(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                                          "params": list(params)}).encode(),
                              str(self.directory / "rpc.sock"))
                reply = json.loads(client.recv(65000))
            finally:
                name.unlink()
        if "error" in reply:
            raise KeyError(f"{method} {params}: {reply['error']}")
        return reply.get("result")

    def _set(self, *setting):
        self._settings = [s for s in self._settings if s[:3] != setting[:3]]
        self._settings.append(setting)
        if self.process:
            self.rpc(*setting)

    # ---- what tests set ----

    def add_user(self, user, password="secret"):
        self._set("htable.sets", "user", user, password)
        return user

    def add_number(self, number, host, port=5060):
        """Calls to number go to the SIP endpoint at host:port."""
        self._set("htable.sets", "number", number, f"{host}:{port}")
        return number

    def mode(self, user, mode):
        """How the user's requests are treated from now on:

        "reply 503/5 Overloaded"  REGISTER is answered so (with Retry-After: 5)
        "after 403 Not here"      the same, but only once the credentials are right
        "min 90"                  423 with Min-Expires: 90 to whoever asks for less
        "invite 503 Busy"         INVITEs of the user are answered so
        "silent"                  REGISTERs are not answered ("all" as user: nothing is)
        None                      as usual
        """
        if mode is None:
            self._settings = [s for s in self._settings
                              if s[:3] != ("htable.sets", "mode", user)]
            with contextlib.suppress(KeyError):
                self.rpc("htable.delete", "mode", user)
        else:
            self._set("htable.sets", "mode", user, mode)

    # ---- what tests read ----

    def count(self, method, user):
        """How many requests of that method (or "unregister") came from the user."""
        try:
            return int(self.rpc("htable.get", "count", f"{method}:{user}")["item"]["value"])
        except KeyError:
            return 0

    def contacts(self, user):
        """The Contact URIs registered for the user."""
        try:
            found = self.rpc("ul.lookup", "location", user)
        except KeyError:
            return []
        return re.findall(r'"Address":\s*"([^"]+)"', json.dumps(found))

    def uri(self, user):
        return f"sip:{user}@{self.address}"
