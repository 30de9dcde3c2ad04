"""What is told by words alone: functions that reach beyond the data, commands of clients, statements that the parser
does not read."""

from __future__ import annotations

import itertools
import re
from typing import Final

from supervisor.inspection.sql_text import Token

# Functions that reach beyond the data: files, other servers, other sessions, statements made at run time.
_RISKY: Final = {
    "postgres": """
    pg_stat_file pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_switch_wal pg_switch_xlog
    pg_promote pg_notify pg_execute_server_program pg_log_standby_snapshot pg_start_backup pg_stop_backup
    pg_import_system_collations pg_current_logfile pg_stat_reset pg_stat_reset_shared pg_stat_statements_reset
    set_config ts_stat ts_rewrite query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml table_to_xml
    table_to_xml_and_xmlschema schema_to_xml schema_to_xml_and_xmlschema database_to_xml
    database_to_xml_and_xmlschema crosstab connectby loread lowrite""",
    "mysql": """
    load_file sys_exec sys_eval sys_get sys_set sleep benchmark get_lock release_lock release_all_locks
    master_pos_wait source_pos_wait wait_for_executed_gtid_set""",
    "sqlite": """
    load_extension readfile writefile edit fts3_tokenizer fsdir lsmode zipfile sqlar_compress eval sqlite_dbpage
    sqlite_dbdata""",
    "tsql": """
    openrowset openquery opendatasource openxml fn_get_audit_file fn_xe_file_target_read_file fn_trace_gettable fn_dblog
    fn_dump_dblog""",
    "duckdb": """
    read_csv read_csv_auto read_parquet parquet_scan read_json read_json_auto read_ndjson read_ndjson_auto
    read_json_objects read_ndjson_objects read_text read_blob read_xlsx read_duckdb glob sniff_csv parquet_metadata
    parquet_schema parquet_file_metadata parquet_kv_metadata parquet_bloom_probe postgres_query postgres_scan
    postgres_scan_pushdown postgres_execute postgres_attach mysql_query mysql_scan mysql_execute sqlite_scan
    sqlite_attach sqlite_query query query_table delta_scan iceberg_scan iceberg_metadata st_read arrow_scan getenv
    which_secret http_get http_post http_head nextval""",
    "clickhouse": """
    url urlcluster file filecluster s3 s3cluster hdfs hdfscluster remote remotesecure mysql postgresql mongodb redis
    jdbc odbc executable input sqlite azureblobstorage azureblobstoragecluster gcs oss cosn iceberg iceberglocal
    icebergs3 deltalake hudi cluster clusterallreplicas merge dictionary arrowflight ytsaurus mergetreeindex sleep
    sleepeachrow catboostevaluate getserverport filesystempath""",
    "bigquery": "external_query",
    "snowflake": "",
}
_RISKY_BEGIN: Final = {
    "postgres": (
        *("dblink", "pg_ls_", "pg_file_", "pg_logical_", "pg_replication_", "pg_create_", "pg_drop_", "pg_copy_"),
        *("pg_read_", "pg_sleep", "pg_advisory_", "pg_try_advisory_", "pg_backup_", "lo_", "be_lo_", "plpy", "plperl"),
    ),
    "tsql": ("xp_", "sp_"),
    "snowflake": ("system$",),
}
_EXPORTING = frozenset({"lo_export", "writefile", "pg_file_write", "postgres_execute", "mysql_execute"})
_WRITING = frozenset({"nextval", "setval", "lo_import", "lo_create", "lo_creat", "lo_put", "lowrite", "lo_from_bytea"})
_DELETING = frozenset({"lo_unlink", "pg_file_unlink"})


def functions(tokens: tuple[Token, ...], dialect: str) -> set[str]:
    """Effects of the functions that are called by name."""
    found: set[str] = set()
    risky, begin = _RISKY.get(dialect, "").split(), _RISKY_BEGIN.get(dialect, ())
    for token, after in itertools.pairwise(tokens):
        if after.text != "(" or token.kind not in ("word", "name", "unsure"):
            continue
        name = token.value.lower()
        if name in risky or name.startswith(begin):
            found.add("opaque")
        for names, effect in ((_EXPORTING, "export"), (_WRITING, "write"), (_DELETING, "delete")):
            if name in names:
                found.add(effect)
    return found


_KEYWORDS: Final = {
    **dict.fromkeys(("insert", "upsert", "replace", "load", "import", "restore"), "write"),
    **dict.fromkeys(("update", "merge"), "modify"),
    **dict.fromkeys(("delete", "truncate"), "delete"),
    **dict.fromkeys(("create", "alter", "drop", "comment", "reindex", "rename", "cluster"), "schema"),
    **dict.fromkeys(("grant", "revoke", "deny", "reassign"), "privilege"),
    **dict.fromkeys(("copy", "unload", "export", "outfile", "dumpfile", "backup"), "export"),
    **dict.fromkeys(("select", "table", "values", "from", "show", "with"), "read"),
}
_OF_ROLES = frozenset(
    {"user", "role", "group", "policy", "login", "privileges", "owner", "authorization", "credential"}
)


def by_words(words: list[str]) -> set[str]:
    """Everything that a statement may do whose grammar is not known. It is opaque too."""
    found = {"opaque"} | {_KEYWORDS[word] for word in words if word in _KEYWORDS}
    if words[:1] and words[0] in ("create", "alter", "drop", "set") and not _OF_ROLES.isdisjoint(words):
        found.add("privilege")
    return found


_SHOWS = frozenset({"show", "help"})
_NOTHING = frozenset({"savepoint", "release", "abort", "end", "start", "begin", "commit", "rollback"})
_SCHEMA_KINDS = frozenset(
    [
        "table",
        "view",
        "index",
        "sequence",
        "type",
        "domain",
        "schema",
        "constraint",
        "materialized",
        "collation",
        "aggregate",
        "cast",
        "operator",
        "statistics",
        "unique",
        "temporary",
        "temp",
        "text",
        "foreign",
        "unlogged",
        "external",
        "virtual",
        "fulltext",
        "global",
        "local",
        "or",
    ]
)


def is_transaction(words: list[str]) -> bool:
    """``BEGIN``, ``START TRANSACTION READ ONLY``, ``ROLLBACK TO x`` …: no effect of its own."""
    return words[:1] != [] and words[0] in _NOTHING and len(words) <= 8 and _KEYWORDS.keys().isdisjoint(words)


def of_command(words: list[str]) -> tuple[set[str], bool]:
    """Effects of a statement that the parser knows by its first word only, and whether that is all of them: else it
    is opaque as well."""
    first, second = ([*words, "", ""])[:2]
    if first in _SHOWS:
        return {"read"}, True
    if is_transaction(words):
        return set(), True
    if first in ("create", "alter", "drop"):
        if second in ("user", "role", "group", "login", "policy", "server") or words[1:3] == ["default", "privileges"]:
            return {"privilege"} | ({"schema"} if second in ("policy", "server") else set()), second != "server"
        known = second in _SCHEMA_KINDS and not {"function", "procedure", "trigger", "rule", "event"} & set(words[:6])
        return {"schema"} | ({"privilege"} if "owner" in words else set()), known
    if first == "set":
        return of_set(words)
    if first in ("grant", "revoke", "deny", "reassign"):
        return {"privilege"}, True
    if first == "security" and second == "label":
        return {"privilege"}, True
    if first in ("reindex", "comment", "rename", "cluster"):
        return {"schema"}, True
    if first == "refresh":
        return {"write"}, True
    return by_words(words) - {"opaque"}, False


_HARMLESS = frozenset(
    [
        "names",
        "timezone",
        "time",
        "client_encoding",
        "client_min_messages",
        "application_name",
        "datestyle",
        "intervalstyle",
        "bytea_output",
        "extra_float_digits",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "work_mem",
        "character_set_client",
        "character_set_results",
        "character_set_connection",
        "collation_connection",
        "time_zone",
        "nocount",
        "ansi_nulls",
        "quoted_identifier",
        "xact_abort",
        "rowcount",
        "dateformat",
        "language",
        "transaction",
        "constraints",
        "standard_conforming_strings",
        "enable_seqscan",
        "enable_indexscan",
        "enable_hashjoin",
        "enable_nestloop",
        "jit",
    ]
)


def of_set(words: list[str]) -> tuple[set[str], bool]:
    rest = [word for word in words[1:] if word not in ("local", "session", "to")]
    name = rest[0] if rest else ""
    if name in ("role", "authorization", "global", "persist", "password") or "authorization" in words[:4]:
        return {"privilege"}, True
    if name.startswith("@") and not name.startswith("@@"):
        return {"read"}, True
    return set(), name in _HARMLESS and _KEYWORDS.keys().isdisjoint(words[2:])


# ------------------------------------------------------------------------------------------- commands of clients

_PSQL_READS = re.compile(
    r"d[A-Za-z]*[S+]*|l[+]?|conninfo|echo|qecho|warn|timing|x|pset|a|t|H|f|T|C|q|quit|\?|h|help|encoding|errverbose|z[S+]*"
    r"|sf[+]?|sv[+]?|g|gx|gdesc|crosstabview|watch|p|print|r|reset|if|elif|else|endif|set|unset|copyright|gset|;"
)
_DOT_READS = frozenset(
    [
        ".tables",
        ".schema",
        ".headers",
        ".header",
        ".mode",
        ".help",
        ".databases",
        ".indexes",
        ".indices",
        ".echo",
        ".timer",
        ".width",
        ".nullvalue",
        ".separator",
        ".print",
        ".show",
        ".stats",
        ".quit",
        ".exit",
        ".changes",
        ".bail",
        ".eqp",
        ".explain",
        ".fullschema",
        ".lint",
        ".limit",
        ".timeout",
        ".dbinfo",
        ".dbtotxt",
        ".columns",
        ".maxrows",
        ".rows",
        ".large_number_rendering",
        ".highlight",
        ".prompt",
        ".version",
        ".about",
        ".progress",
    ]
)


def of_client(line: str, dialect: str) -> set[str]:
    """Effects of a command of ``psql``, ``sqlite3``, ``duckdb``, ``mysql``; opaque for the unknown."""
    if "`" in line or "|" in line:
        return {"opaque", "export"}
    if line.startswith(".") and dialect in ("sqlite", "duckdb"):
        return _dot(line.split())
    if line.startswith("\\") and dialect == "postgres":
        found: set[str] = {"opaque"} if ";" in line.rstrip("; \t") else set()
        for part in _parted(line):
            found |= _psql(part)
        return found | by_words(re.findall(r"[a-z]+", line.lower())) if "opaque" in found else found
    return {"opaque"}


def _parted(line: str) -> list[str]:
    """Several commands may stand on one line; each begins with a backslash that is in no quotes."""
    parts = [""]
    quote = ""
    for at, char in enumerate(line):
        if char == "\\" and not quote and at:
            parts.append("")
        elif char in "'\"":
            quote = "" if quote == char else quote or char
        parts[-1] += char if char != "\\" or quote else ""
    return parts


def _psql(part: str) -> set[str]:
    words = part.split()
    name, rest = (words[0], words[1:]) if words else ("", [])
    lowered = [word.lower().rstrip(";") for word in rest]
    if name == "copy":
        if "program" in lowered:
            return {"opaque", "export", "write"}
        return {"write"} if "from" in lowered and "to" not in lowered else {"read", "export"}
    if name in ("g", "gx"):
        return {"read", "export"} if rest else {"read"}
    if name in ("o", "out", "w", "write", "s"):
        return {"export"} if rest else {"read"}
    if name == "lo_export":
        return {"read", "export"}
    if name == "lo_unlink":
        return {"delete"}
    if name == "password":
        return {"privilege"}
    if ":" in part and name not in ("echo", "pset"):
        return {"opaque"}
    return {"read"} if _PSQL_READS.fullmatch(name) else {"opaque"}


def _dot(words: list[str]) -> set[str]:
    name = words[0]
    if name in _DOT_READS:
        return {"read"}
    if name in (".dump", ".recover"):
        return {"read", "export"}
    if name in (".output", ".once", ".save", ".backup", ".clone", ".log", ".excel", ".trace", ".session"):
        return {"read", "export"} if words[1:] else {"read"}
    if name == ".import":
        return {"write", "opaque"}
    if name == ".restore":
        return {"write", "modify", "delete", "opaque"}
    return {"opaque"}


# The mysql client reads these at the beginning of a line.
MYSQL_COMMANDS: Final = frozenset(
    ["system", "source", "tee", "pager", "edit", "delimiter", "connect", "charset", "ssl_session_data_print"]
)
