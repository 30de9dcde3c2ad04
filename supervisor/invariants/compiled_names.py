"""Which crate, Go module, Maven artifact or gem an import may come from.

Go writes the module's path into the import and Rust the crate's name; Ruby's and Java's names have to be guessed by
habit, and where that fails by a table. What the table knows is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from supervisor.invariants.packages import Patterns, canonical, named
from supervisor.vocabulary.content import Import

_DEEPEST = 16
# Crate as it is imported -> package, where that is more than `_` for `-`.
_CRATES: Final[Mapping[str, str]] = {
    "crypto": "rust-crypto",
    "cv": "opencv",
    "md5": "md5 md-5",
    "sha1": "sha1 sha-1",
}
# What `require` is given (the longest beginning counts) -> gems.
_GEMS: Final[Mapping[str, str]] = {
    "action_cable": "actioncable",
    "action_controller": "actionpack",
    "action_dispatch": "actionpack",
    "action_mailer": "actionmailer",
    "action_pack": "actionpack",
    "action_view": "actionview",
    "active_job": "activejob",
    "active_model": "activemodel",
    "active_record": "activerecord",
    "active_storage": "activestorage",
    "active_support": "activesupport",
    "bcrypt": "bcrypt bcrypt-ruby",
    "ldap": "ruby-ldap net-ldap",
    "net/ldap": "net-ldap",
    "net/scp": "net-scp",
    "net/sftp": "net-sftp",
    "net/ssh": "net-ssh",
    "openai": "ruby-openai openai",
    "rails": "rails railties",
    "rest_client": "rest-client",
    "restclient": "rest-client",
    "saml": "ruby-saml",
    "sinatra/base": "sinatra",
    "zip": "rubyzip",
    "yajl": "yajl-ruby",
}
# Java package (the longest beginning counts) -> artifacts.
_JAVA: Final[Mapping[str, str]] = {
    "ch.qos.logback.classic": "ch.qos.logback:logback-classic",
    "ch.qos.logback.core": "ch.qos.logback:logback-core",
    "com.alibaba.fastjson": "com.alibaba:fastjson",
    "com.alibaba.fastjson2": "com.alibaba.fastjson2:fastjson2",
    "com.amazonaws": "com.amazonaws:aws-java-sdk com.amazonaws:aws-java-sdk-core",
    "com.esotericsoftware.kryo": "com.esotericsoftware:kryo",
    "com.fasterxml.jackson.annotation": "com.fasterxml.jackson.core:jackson-annotations",
    "com.fasterxml.jackson.core": "com.fasterxml.jackson.core:jackson-core",
    "com.fasterxml.jackson.databind": "com.fasterxml.jackson.core:jackson-databind",
    "com.fasterxml.jackson.dataformat.yaml": "com.fasterxml.jackson.dataformat:jackson-dataformat-yaml",
    "com.fasterxml.jackson.dataformat.xml": "com.fasterxml.jackson.dataformat:jackson-dataformat-xml",
    "com.google.common": "com.google.guava:guava",
    "com.google.gson": "com.google.code.gson:gson",
    "com.google.inject": "com.google.inject:guice",
    "com.google.protobuf": "com.google.protobuf:protobuf-java com.google.protobuf:protobuf-javalite",
    "com.mchange.v2.c3p0": "com.mchange:c3p0",
    "com.mongodb": "org.mongodb:mongodb-driver-sync org.mongodb:mongo-java-driver",
    "com.mysql": "com.mysql:mysql-connector-j mysql:mysql-connector-java",
    "com.squareup.moshi": "com.squareup.moshi:moshi",
    "com.sun.mail": "com.sun.mail:javax.mail com.sun.mail:jakarta.mail",
    "com.thoughtworks.xstream": "com.thoughtworks.xstream:xstream",
    "com.zaxxer.hikari": "com.zaxxer:HikariCP",
    "freemarker": "org.freemarker:freemarker",
    "groovy": "org.codehaus.groovy:groovy org.apache.groovy:groovy",
    "io.jsonwebtoken": "io.jsonwebtoken:jjwt io.jsonwebtoken:jjwt-api",
    "io.netty": "io.netty:netty-all io.netty:netty",
    "io.vavr": "io.vavr:vavr",
    "jakarta.servlet": "jakarta.servlet:jakarta.servlet-api",
    "javax.inject": "javax.inject:javax.inject",
    "javax.mail": "javax.mail:mail javax.mail:javax.mail-api com.sun.mail:javax.mail",
    "javax.persistence": "javax.persistence:javax.persistence-api",
    "javax.servlet": "javax.servlet:javax.servlet-api javax.servlet:servlet-api",
    "junit": "junit:junit",
    "kotlinx.coroutines": "org.jetbrains.kotlinx:kotlinx-coroutines-core",
    "kotlinx.serialization": "org.jetbrains.kotlinx:kotlinx-serialization-json",
    "lombok": "org.projectlombok:lombok",
    "net.sf.json": "net.sf.json-lib:json-lib",
    "net.sf.ehcache": "net.sf.ehcache:ehcache",
    "ognl": "ognl:ognl",
    "okhttp3": "com.squareup.okhttp3:okhttp",
    "okio": "com.squareup.okio:okio",
    "org.apache.commons.beanutils": "commons-beanutils:commons-beanutils",
    "org.apache.commons.cli": "commons-cli:commons-cli",
    "org.apache.commons.codec": "commons-codec:commons-codec",
    "org.apache.commons.collections": "commons-collections:commons-collections",
    "org.apache.commons.collections4": "org.apache.commons:commons-collections4",
    "org.apache.commons.configuration": "commons-configuration:commons-configuration",
    "org.apache.commons.fileupload": "commons-fileupload:commons-fileupload",
    "org.apache.commons.httpclient": "commons-httpclient:commons-httpclient",
    "org.apache.commons.io": "commons-io:commons-io",
    "org.apache.commons.lang": "commons-lang:commons-lang",
    "org.apache.commons.lang3": "org.apache.commons:commons-lang3",
    "org.apache.commons.logging": "commons-logging:commons-logging",
    "org.apache.commons.text": "org.apache.commons:commons-text",
    "org.apache.hc.client5": "org.apache.httpcomponents.client5:httpclient5",
    "org.apache.http": "org.apache.httpcomponents:httpclient org.apache.httpcomponents:httpcore",
    "org.apache.kafka.clients": "org.apache.kafka:kafka-clients",
    "org.apache.log4j": "log4j:log4j org.apache.logging.log4j:log4j-1.2-api ch.qos.reload4j:reload4j",
    "org.apache.logging.log4j": "org.apache.logging.log4j:log4j-api",
    "org.apache.logging.log4j.core": "org.apache.logging.log4j:log4j-core",
    "org.apache.poi": "org.apache.poi:poi org.apache.poi:poi-ooxml",
    "org.apache.shiro": "org.apache.shiro:shiro-core",
    "org.apache.struts2": "org.apache.struts:struts2-core",
    "org.apache.velocity": "org.apache.velocity:velocity org.apache.velocity:velocity-engine-core",
    "org.aspectj": "org.aspectj:aspectjrt org.aspectj:aspectjweaver",
    "org.assertj.core": "org.assertj:assertj-core",
    "org.bouncycastle": "org.bouncycastle:bcprov-jdk18on org.bouncycastle:bcprov-jdk15on",
    "org.codehaus.jackson": "org.codehaus.jackson:jackson-mapper-asl org.codehaus.jackson:jackson-core-asl",
    "org.dom4j": "org.dom4j:dom4j dom4j:dom4j",
    "org.h2": "com.h2database:h2",
    "org.hamcrest": "org.hamcrest:hamcrest org.hamcrest:hamcrest-core org.hamcrest:hamcrest-all",
    "org.hibernate": "org.hibernate:hibernate-core org.hibernate.orm:hibernate-core",
    "org.hibernate.validator": "org.hibernate.validator:hibernate-validator org.hibernate:hibernate-validator",
    "org.jdom": "org.jdom:jdom",
    "org.jdom2": "org.jdom:jdom2",
    "org.joda.time": "joda-time:joda-time",
    "org.json": "org.json:json",
    "org.json.simple": "com.googlecode.json-simple:json-simple",
    "org.jsoup": "org.jsoup:jsoup",
    "org.junit": "junit:junit",
    "org.junit.jupiter": "org.junit.jupiter:junit-jupiter org.junit.jupiter:junit-jupiter-api",
    "org.mariadb.jdbc": "org.mariadb.jdbc:mariadb-java-client",
    "org.mockito": "org.mockito:mockito-core",
    "org.mozilla.javascript": "org.mozilla:rhino",
    "org.mybatis": "org.mybatis:mybatis",
    "org.ibatis": "org.mybatis:mybatis",
    "org.apache.ibatis": "org.mybatis:mybatis",
    "org.postgresql": "org.postgresql:postgresql postgresql:postgresql",
    "org.powermock": "org.powermock:powermock-core org.powermock:powermock-api-mockito2",
    "org.quartz": "org.quartz-scheduler:quartz",
    "org.slf4j": "org.slf4j:slf4j-api",
    "org.springframework.batch": "org.springframework.batch:spring-batch-core",
    "org.springframework.beans": "org.springframework:spring-beans",
    "org.springframework.boot": "org.springframework.boot:spring-boot",
    "org.springframework.context": "org.springframework:spring-context",
    "org.springframework.core": "org.springframework:spring-core",
    "org.springframework.jdbc": "org.springframework:spring-jdbc",
    "org.springframework.kafka": "org.springframework.kafka:spring-kafka",
    "org.springframework.security": "org.springframework.security:spring-security-core",
    "org.springframework.test": "org.springframework:spring-test",
    "org.springframework.web": "org.springframework:spring-web",
    "org.springframework.web.servlet": "org.springframework:spring-webmvc",
    "org.springframework.web.reactive": "org.springframework:spring-webflux",
    "org.testng": "org.testng:testng",
    "org.xerial.snappy": "org.xerial.snappy:snappy-java",
    "org.yaml.snakeyaml": "org.yaml:snakeyaml",
    "reactor.core": "io.projectreactor:reactor-core",
    "redis.clients.jedis": "redis.clients:jedis",
    "retrofit2": "com.squareup.retrofit2:retrofit",
    "rx": "io.reactivex:rxjava",
    "software.amazon.awssdk": "software.amazon.awssdk:aws-sdk-java software.amazon.awssdk:sdk-core",
}
# Groups that are whole organizations, of whose packages few belong to artifacts of just this group.
_UMBRELLAS = frozenset(
    ("com.android", "com.github", "com.google", "com.microsoft", "com.sun", "io.github", "net.java", "net.sf")
) | frozenset(("org.apache", "org.codehaus", "org.eclipse", "org.jetbrains", "org.springframework"))


_ENDS: Final = (
    ((b".go", b"/go.mod", b"/go.sum", b"/go.work", b"/go.work.sum", b"/modules.txt"), "go"),
    ((b".rs", b"/cargo.toml", b"/cargo.lock", b"/.cargo/config.toml", b"/.cargo/config"), "cargo"),
    ((b".java", b".kt", b".kts", b".gradle", b".pom", b"pom.xml", b"/extensions.xml", b".lockfile"), "maven"),
    ((b".rb", b".rake", b".ru", b".gemspec", b"/gemfile", b"/gemfile.lock", b"/gems.locked"), "rubygems"),
    ((b".versions.toml",), "maven"),
)


def ecosystem_of(path: bytes) -> str:
    """The one ecosystem that a file of such a name can speak of, empty where it may be another."""
    lowered = b"/" + path.lower()
    return next((ecosystem for ends, ecosystem in _ENDS if lowered.endswith(ends)), "")


def packages_of(ecosystem: str, module: str) -> tuple[str, ...]:
    """Canonical names of the packages that the module may come from. ``group:`` without an artifact stands for one of
    Maven's that is not known."""
    made = tuple(dict.fromkeys(canonical(ecosystem, name) for name in _guessed(ecosystem, module)))
    return tuple(name for name in made if name)


def _guessed(ecosystem: str, module: str) -> Iterator[str]:
    if ecosystem == "go":
        parts = module.split("/")
        yield from ("/".join(parts[:end]) for end in range(1, min(len(parts), _DEEPEST) + 1))
    elif ecosystem == "cargo":
        crate = module.partition("::")[0]
        yield from _CRATES.get(crate, crate).split()
    elif ecosystem == "rubygems":
        yield from _gems(module)
    elif ecosystem == "maven":
        yield from _artifacts(module)


def _longest(table: Mapping[str, str], parts: list[str], sign: str) -> str:
    beginnings = (sign.join(parts[:end]) for end in range(min(len(parts), _DEEPEST), 0, -1))
    return next((table[each] for each in beginnings if each in table), "")


def _gems(path: str) -> Iterator[str]:
    """``google/cloud/storage`` may be of ``google-cloud-storage``, of ``google-cloud`` and of ``google``."""
    parts = path.removesuffix(".rb").split("/")[:_DEEPEST]
    known = _longest(_GEMS, parts, "/")
    if known:
        yield from known.split()
    for end in range(len(parts), 0, -1):
        yield "-".join(parts[:end])
        yield "_".join(parts[:end])
        yield "-".join(parts[:end]).replace("_", "-")


def _artifacts(module: str) -> Iterator[str]:
    """``org.jsoup.Jsoup`` may be of ``org.jsoup:jsoup``, ``org.apache.tika.parser`` of ``org.apache.tika:tika-parser``
    or of an unknown artifact of ``org.apache.tika``."""
    parts = module.split(".")[:_DEEPEST]
    known = _longest(_JAVA, parts, ".")
    if known:
        yield from known.split()
        return
    for end in range(1, len(parts) + 1):
        group, last = ".".join(parts[:end]), parts[end - 1]
        yield f"{group}:{last}"
        yield f"{group}:{group}"
        if end < len(parts):
            yield f"{group}:{parts[end]}"
            yield f"{group}:{last}-{parts[end]}"
        if end > 1 and group not in _UMBRELLAS:
            yield group + ":"


def denied_imports(deny: Patterns, found: Import) -> tuple[str, ...]:
    """The denied packages that an import asks for. A range says nothing of an import."""
    names = packages_of(found.ecosystem, found.module)
    # An artifact that is only guessed is nothing that a pattern for several could mean.
    guesses = found.ecosystem == "maven" and not _longest(_JAVA, found.module.split("."), ".")
    denied = [
        made.name if name.endswith(":") else name
        for name in names
        for made in named(deny, found.ecosystem, name)
        if not made.versions and not (guesses and "*" in made.name and not name.endswith(":"))
    ]
    # Of a Go import the first is the module that the rule names, the others are what lies in it.
    return tuple(dict.fromkeys(denied[:1] if found.ecosystem == "go" else denied))


def words_of(ecosystem: str, name: str) -> Iterator[str]:
    """Words of which at least one stands in every source or manifest that asks for the package; see ``needles``."""
    if ecosystem == "cargo":
        yield name
        yield from (crate for crate, packages in _CRATES.items() if name in packages.split())
    elif ecosystem == "rubygems":
        yield name
        yield from (path for path, gems in _GEMS.items() if name in gems.split())
    elif ecosystem == "maven":
        group, _, artifact = name.rpartition(":")
        yield artifact
        for package, known in _JAVA.items():
            of = known.lower().split()
            if name in of or (not group and any(each.endswith(":" + artifact) for each in of)):
                yield max(package.split("."), key=len)
        if group:
            yield max(group.split("."), key=len)
    else:
        yield name
