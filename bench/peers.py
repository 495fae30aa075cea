# SPDX-License-Identifier: MIT
"""Other servers of Debian's packages, for the same work: each bound to loopback, in a directory of its own, its flood
limits off, in the foreground, and ended by its process id."""
import getpass
import os
import pathlib
import shutil
import subprocess

PACKAGES_SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "lib" / "packages"


class Peer:
    """name: as people know it; style: what bench_drive calls its protocol; package, and the program that it brings."""
    name = style = package = program = None
    env = {}
    small_only = False   # a fan-out to 1,000 takes too long with it
    at_once = None       # logins at a time, if 100 are too many, or too few
    bursts = (20, 40)    # of 32, to 1,000 and to 100 members, that take about half a second

    def config(self, home, port):
        """Writes what it needs into its home; returns its command."""
        raise NotImplementedError


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


class Nats(Peer):
    name, style, package, program = "NATS", "nats", "nats-server", "nats-server"
    bursts = (20, 200)

    def config(self, home, port):
        return ["nats-server", "-c", write(f"{home}/nats.conf", f"""
            listen: 127.0.0.1:{port}
            max_connections: 20000
            ping_interval: "1h"
            write_deadline: "60s"
        """)]


class Mosquitto(Peer):
    package, program = "mosquitto", "mosquitto"
    bursts = (2, 20)

    def __init__(self, qos):
        self.name, self.style = f"mosquitto QoS {qos}", f"mqtt{qos}"

    def config(self, home, port):
        return ["mosquitto", "-c", write(f"{home}/mosquitto.conf", "\n".join([
            f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence false", "max_inflight_messages 0",
            "max_queued_messages 0", "set_tcp_nodelay true", f"user {getpass.getuser()}", "log_type error",
            "connection_messages false", ""]))]


class InspIrcd(Peer):
    name, style, package, program = "InspIRCd", "irc", "inspircd", "inspircd"
    at_once = 2000   # it looks at who logs in once a second
    bursts = (30, 300)

    def config(self, home, port):
        return ["inspircd", "--nofork", "--nopid", "--runasroot", "--config", write(f"{home}/inspircd.conf", f"""
            <server name="irc.bench.local" description="bench" network="bench" id="1AA">
            <admin name="bench" nick="bench" email="bench@localhost">
            <bind address="127.0.0.1" port="{port}" type="clients">
            <connect name="main" allow="*" timeout="60" pingfreq="3600" hardsendq="256M" softsendq="128M" recvq="1M"
             threshold="1000000000" commandrate="1000000000" fakelag="no" localmax="100000" globalmax="100000"
             maxconnwarn="no" limit="100000" modes="" useident="no" resolvehostnames="no">
            <class name="none">
            <performance netbuffersize="65536" somaxconn="4096" softlimit="100000" clonesonconnect="no" quickflush="no">
            <options prefixquit="" syntaxhints="no" hostintopic="no" allowmismatch="yes" defaultmodes="">
            <security hidewhois="" maxtargets="20">
            <channels users="100" opers="100">
            <log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="{home}/inspircd.log">
            <uline server="none." silent="yes">
        """)]


class NgIrcd(Peer):
    name, style, package, program = "ngIRCd", "irc", "ngircd", "ngircd"
    at_once = 8      # its listening queue has ten places
    bursts = (30, 100)

    def config(self, home, port):
        os.mkdir(f"{home}/none")
        return ["ngircd", "--nodaemon", "--config", write(f"{home}/ngircd.conf", f"""
            [Global]
            Name = irc.bench.local
            Info = bench
            AdminEMail = bench@localhost
            Listen = 127.0.0.1
            Ports = {port}
            MotdPhrase = bench
            [Limits]
            MaxConnections = 0
            MaxConnectionsIP = 0
            MaxJoins = 0
            MaxNickLength = 20
            MaxPenaltyTime = 0
            PingTimeout = 3600
            PongTimeout = 3600
            [Options]
            DNS = no
            Ident = no
            PAM = no
            IncludeDir = {home}/none
        """)]


class Ejabberd(Peer):
    """Started without its control script, which would change the user and start a name server of Erlang's."""
    style, package, program = "xmpp", "ejabberd", "ejabberdctl"
    small_only = True
    bursts = (0, 6)

    def __init__(self, archive):
        self.archive, self.name = archive, "ejabberd MUC" + (", archive" if archive else "")
        self.home = None

    def config(self, home, port):
        archive = "true" if self.archive else "false"
        config = write(f"{home}/ejabberd.yml", f"""
hosts: [localhost]
loglevel: error
certfiles: []
listen:
  - port: {port}
    ip: 127.0.0.1
    module: ejabberd_c2s
    starttls: false
    backlog: 4096
    max_stanza_size: infinity
host_config:
  localhost:
    auth_method: [anonymous]
    allow_multiple_connections: true
    anonymous_protocol: sasl_anon
api_permissions: {{}}
modules:
{"  mod_mam: {{default: never}}" if self.archive else ""}
  mod_muc:
    host: muc.localhost
    access: all
    access_create: all
    access_persistent: all
    access_mam: all
    max_users: 10000
    max_user_conferences: 100
    history_size: 20
    default_room_options:
      mam: {archive}
      persistent: {archive}
      presence_broadcast: []
      max_users: 10000
""".replace("{{", "{").replace("}}", "}"))
        self.env = {"EJABBERD_CONFIG_PATH": config, "ERL_CRASH_DUMP_BYTES": "0", "HOME": str(home),
                    "ERL_LIBS": "/usr/lib/x86_64-linux-gnu", "EJABBERD_LOG_PATH": f"{home}/ejabberd.log",
                    "ERL_MAX_PORTS": "65536"}
        # Where it is installed.
        lib = next(pathlib.Path("/usr/lib").glob("**/ejabberd-*/ebin"), "/usr/lib/ejabberd/ebin")
        return ["erl", "-noinput", "-pa", str(lib), "+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none",
                "+sbwtdio", "none", "-mnesia", "dir", f'"{home}/mnesia"', "-s", "ejabberd"]


class Prosody(Peer):
    style, package, program = "xmpp", "prosody", "prosody"
    small_only = True
    bursts = (0, 3)

    def __init__(self, archive):
        self.archive, self.name = archive, "Prosody MUC" + (", archive" if archive else "")

    def config(self, home, port):
        os.makedirs(f"{home}/data", exist_ok=True)
        more = 'modules_enabled = { "muc_mam" }\n muc_log_by_default = true\n' if self.archive else ""
        return ["prosody", "-F", "--config", write(f"{home}/prosody.cfg.lua", f"""
            run_as_root = true
            pidfile = "{home}/prosody.pid"
            data_path = "{home}/data"
            daemonize = false
            interfaces = {{ "127.0.0.1" }}
            c2s_ports = {{ {port} }}
            c2s_require_encryption = false
            allow_unencrypted_plain_auth = true
            storage_archive_item_limit = 100000000
            modules_enabled = {{ "saslauth" }}
            modules_disabled = {{ "s2s", "tls", "offline" }}
            log = {{ warn = "{home}/prosody.log" }}
            VirtualHost "localhost"
             authentication = "anonymous"
            Component "muc.localhost" "muc"
             restrict_room_creation = false
             muc_room_locking = false
             muc_room_default_presence_broadcast = {{ visitor = false, participant = false, moderator = false }}
             {more}
        """)]


ALL = [Nats(), Mosquitto(0), Mosquitto(1), InspIrcd(), NgIrcd(), Ejabberd(False), Ejabberd(True), Prosody(False),
       Prosody(True)]


def installed(peers=None):
    """Installs what is missing, as far as that can be. ([peers that are there], {name: why not})."""
    peers = peers or ALL
    missing = {peer.package for peer in peers if shutil.which(peer.program) is None}
    reasons = {}
    for package in sorted(missing):
        done = subprocess.run([PACKAGES_SCRIPT, package], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            reasons[package] = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    there = [peer for peer in peers if peer.package not in reasons]
    return there, {peer.name: reasons[peer.package] for peer in peers if peer.package in reasons}
