"""Which distributions an import may come from, where the two names differ.

One module may come from several distributions and one distribution may bring several modules. For npm the package is
in the specifier itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervisor.invariants.packages import canonical

_DEEPEST = 4

# Module (dotted for namespaces) -> the distributions that bring it, the usual one first. Names are canonical.
MODULES: Final[Mapping[str, str]] = {
    "_cffi_backend": "cffi",
    "_distutils_hack": "setuptools",
    "_pytest": "pytest",
    "_yaml": "pyyaml",
    "absl": "absl-py",
    "airflow": "apache-airflow",
    "allauth": "django-allauth",
    "antlr4": "antlr4-python3-runtime",
    "apt": "python-apt",
    "apt_pkg": "python-apt",
    "attr": "attrs",
    "attrs": "attrs",
    "azure.ai.ml": "azure-ai-ml",
    "azure.core": "azure-core",
    "azure.cosmos": "azure-cosmos",
    "azure.identity": "azure-identity",
    "azure.keyvault.secrets": "azure-keyvault-secrets",
    "azure.servicebus": "azure-servicebus",
    "azure.storage.blob": "azure-storage-blob",
    "backports.zoneinfo": "backports-zoneinfo",
    "barcode": "python-barcode",
    "bluetooth": "pybluez",
    "bs4": "beautifulsoup4 bs4",
    "bson": "pymongo bson",
    "cairo": "pycairo",
    "can": "python-can",
    "chess": "chess python-chess",
    "corsheaders": "django-cors-headers",
    "cpuinfo": "py-cpuinfo",
    "crispy_forms": "django-crispy-forms",
    "Crypto": "pycryptodome pycrypto",
    "Cryptodome": "pycryptodomex",
    "cv2": "opencv-python opencv-python-headless opencv-contrib-python opencv-contrib-python-headless",
    "Cython": "cython",
    "daemon": "python-daemon",
    "dateutil": "python-dateutil",
    "dbus": "dbus-python",
    "debian": "python-debian",
    "decouple": "python-decouple",
    "discord": "discord-py py-cord",
    "django_filters": "django-filter",
    "dns": "dnspython",
    "docx": "python-docx docx",
    "dotenv": "python-dotenv dotenv",
    "editor": "python-editor",
    "engineio": "python-engineio",
    "environ": "django-environ",
    "faiss": "faiss-cpu faiss-gpu",
    "fasttext": "fasttext fasttext-wheel",
    "fitz": "pymupdf",
    "functional": "pyfunctional",
    "gflags": "python-gflags",
    "gi": "pygobject",
    "git": "gitpython",
    "github": "pygithub",
    "gitlab": "python-gitlab",
    "gnupg": "python-gnupg",
    "google.api_core": "google-api-core",
    "google.appengine": "appengine-python-standard",
    "google.auth": "google-auth",
    "google.cloud.aiplatform": "google-cloud-aiplatform",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.bigquery_storage": "google-cloud-bigquery-storage",
    "google.cloud.bigtable": "google-cloud-bigtable",
    "google.cloud.datastore": "google-cloud-datastore",
    "google.cloud.firestore": "google-cloud-firestore",
    "google.cloud.kms": "google-cloud-kms",
    "google.cloud.logging": "google-cloud-logging",
    "google.cloud.pubsub": "google-cloud-pubsub",
    "google.cloud.pubsub_v1": "google-cloud-pubsub",
    "google.cloud.secretmanager": "google-cloud-secret-manager",
    "google.cloud.spanner": "google-cloud-spanner",
    "google.cloud.speech": "google-cloud-speech",
    "google.cloud.storage": "google-cloud-storage",
    "google.cloud.tasks": "google-cloud-tasks",
    "google.cloud.translate": "google-cloud-translate",
    "google.cloud.vision": "google-cloud-vision",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "googleapiclient": "google-api-python-client",
    "graphql": "graphql-core",
    "grpc": "grpcio",
    "grpc_tools": "grpcio-tools",
    "hcl2": "python-hcl2",
    "igraph": "igraph python-igraph",
    "imblearn": "imbalanced-learn",
    "ipware": "django-ipware",
    "IPython": "ipython",
    "jenkins": "python-jenkins",
    "jose": "python-jose",
    "jwt": "pyjwt jwt",
    "kafka": "kafka-python kafka-python-ng",
    "keycloak": "python-keycloak",
    "ldap": "python-ldap",
    "Levenshtein": "levenshtein python-levenshtein",
    "magic": "python-magic",
    "memcache": "python-memcached",
    "mpl_toolkits": "matplotlib",
    "mysql": "mysql-connector-python",
    "MySQLdb": "mysqlclient mysql-python",
    "nacl": "pynacl",
    "nmap": "python-nmap",
    "OpenGL": "pyopengl",
    "opensearchpy": "opensearch-py",
    "OpenSSL": "pyopenssl",
    "osgeo": "gdal",
    "paho": "paho-mqtt",
    "parallel": "pyparallel",
    "past": "future",
    "patoolib": "patool",
    "PIL": "pillow pillow-simd pil",
    "pkg_resources": "setuptools",
    "playhouse": "peewee",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2 psycopg2-binary",
    "pwiz": "peewee",
    "pylab": "matplotlib",
    "pymupdf": "pymupdf",
    "PyPDF2": "pypdf2",
    "PyQt5": "pyqt5",
    "PyQt6": "pyqt6",
    "PySide2": "pyside2",
    "PySide6": "pyside6 pyside6-essentials",
    "pythoncom": "pywin32",
    "pywintypes": "pywin32",
    "rest_framework": "djangorestframework",
    "rest_framework_simplejwt": "djangorestframework-simplejwt",
    "ruamel.yaml": "ruamel-yaml",
    "sass": "libsass",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn sklearn",
    "skopt": "scikit-optimize",
    "slack": "slackclient",
    "slugify": "python-slugify unicode-slugify",
    "smbc": "pysmbc",
    "snappy": "python-snappy",
    "snowflake.connector": "snowflake-connector-python",
    "snowflake.sqlalchemy": "snowflake-sqlalchemy",
    "socketio": "python-socketio",
    "socks": "pysocks",
    "speech_recognition": "speechrecognition",
    "statemachine": "python-statemachine",
    "tabula": "tabula-py",
    "telegram": "python-telegram-bot",
    "tensorflow": "tensorflow tensorflow-cpu tensorflow-gpu",
    "tlz": "toolz",
    "twitter": "python-twitter",
    "umap": "umap-learn",
    "usb": "pyusb",
    "usb1": "libusb1",
    "vlc": "python-vlc",
    "webview": "pywebview",
    "win32api": "pywin32",
    "win32com": "pywin32",
    "win32con": "pywin32",
    "win32file": "pywin32",
    "win32gui": "pywin32",
    "wx": "wxpython",
    "Xlib": "python-xlib",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
    "zope.interface": "zope-interface",
}


def distributions(module: str) -> tuple[str, ...]:
    """The canonical names of the distributions that a Python module may come from; the longest known prefix counts,
    else the first component is the name."""
    parts = module.split(".")
    for end in range(min(len(parts), _DEEPEST), 0, -1):
        known = MODULES.get(".".join(parts[:end]))
        if known is not None:
            return tuple(known.split())
    return (canonical("pypi", parts[0]),)


def imports_of(distribution: str) -> tuple[str, ...]:
    """The module names that a distribution may bring: those of the table, and its own name with ``_`` for ``-``; if
    the table does not know it, also with dots, as namespace packages have it."""
    name = canonical("pypi", distribution)
    known = tuple(module for module, brought in MODULES.items() if name in brought.split())
    dotted = () if known else (name.replace("-", "."),)
    return tuple(dict.fromkeys((*known, name.replace("-", "_"), *dotted)))


def npm_package(specifier: str) -> str:
    """The package of a bare specifier: ``@scope/name/sub`` is ``@scope/name``. Empty for what is no package (a path,
    an address, a built-in of the runtime)."""
    if specifier[:1] in (".", "/", "#", "") or ":" in specifier.removeprefix("npm:"):
        return ""
    parts = specifier.removeprefix("npm:").split("/")
    name = "/".join(parts[: 2 if specifier.removeprefix("npm:").startswith("@") else 1])
    return (name[:1] + name[1:].partition("@")[0]).lower()
