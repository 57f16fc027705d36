"""Configuration of a DICOM node: a YAML file, checked when the node starts."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml
from gynbtnet.runtime.settings import Settings

Sent = Literal["rtstruct", "seg", "preview"]


def _ae_title(title: str) -> str:
    if not 1 <= len(title.strip()) <= 16 or "\\" in title or not title.isascii() or not title.isprintable():
        raise ValueError("expected an AE title: 1 to 16 printable ASCII characters without a backslash")
    return title.strip()


def _address(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError as error:
        raise ValueError("expected an IP address, such as 127.0.0.1") from error


AETitle = Annotated[str, AfterValidator(_ae_title)]
Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=1, le=65535)]


class TLS(Settings):
    """Certificates of an encrypted connection in which both sides identify themselves."""

    certificate: Path = Field(description="Certificate of this node, a PEM file.")
    key: Path = Field(description="Its private key, a PEM file without a password.")
    authority: Path = Field(description="Certificates of the authorities whose peers are trusted, a PEM file.")


class Caller(Settings):
    """A DICOM program that may send scans."""

    ae_title: AETitle = Field(description="Its AE title.")
    addresses: tuple[Address, ...] = Field(min_length=1, description="IP addresses that it may call from.")


class Listener(Settings):
    """The door for C-STORE and C-ECHO."""

    address: Address = Field("127.0.0.1", description="IP address to listen on; 127.0.0.1 is this computer only.")
    port: Port = Field(11112, description="TCP port.")
    ae_title: AETitle = Field("GYNBTNET", description="AE title of this node; calls to another one are rejected.")
    callers: tuple[Caller, ...] = Field((), description="Programs that may send; all others are rejected.")
    most_associations: int = Field(20, ge=1, description="Associations at the same time.")
    tls: TLS | None = Field(None, description="Certificates; null: no encryption.")


class Web(Settings):
    """The door for DICOMweb STOW-RS."""

    address: Address = Field("127.0.0.1", description="IP address to listen on.")
    port: Port | None = Field(8042, description="TCP port; null: only on the server of `gynbtnet review --node`.")
    token: str = Field(min_length=16, description="Bearer token that every request must have.")


class Watch(Settings):
    """A folder whose DICOM files are taken in."""

    folder: Path = Field(description="The folder, with its subfolders.")
    quiet_seconds: float = Field(2, ge=0, description="A file is read when it hasn't changed for this time.")


class NodeModel(Settings):
    """A model that the node runs."""

    path: Path = Field(description="Run folder, or model file of `gynbtnet export --to zip`.")
    fast: bool = Field(False, description="As `gynbtnet predict --fast`.")
    backend: Literal["eager", "compiled", "openvino"] = Field("eager", description="As `gynbtnet predict --backend`.")


class Destination(Settings):
    """A DICOM program that receives the results."""

    address: str = Field(min_length=1, description="IP address or name of the computer.")
    port: Port = Field(description="TCP port.")
    ae_title: AETitle = Field(description="Its AE title.")
    send: tuple[Sent, ...] = Field(("rtstruct",), min_length=1, description="What it receives.")
    tls: TLS | None = Field(None, description="Certificates; null: no encryption.")


class Rule(Settings):
    """A condition on a series, and what to do with it. Texts may contain ``*`` and ``?``; case doesn't matter."""

    calling_ae: str = Field("*", description="AE title of the sender; `watch` or `web` for the other doors.")
    modality: str = Field("CT", description="Modality.")
    series_description: str = Field("*", description="SeriesDescription.")
    body_part: str = Field("*", description="BodyPartExamined.")
    ignore: bool = Field(False, description="Leave such a series alone.")
    model: str | None = Field(None, description="Name of the model that contours it.")
    destinations: tuple[str, ...] = Field((), description="Names of the destinations of the result.")

    @model_validator(mode="after")
    def _one_action(self) -> "Rule":
        if self.ignore == (self.model is not None):
            raise ValueError("a rule names either a model or ignore: true")
        return self


class Retention(Settings):
    """Deletion of what is no longer needed."""

    received_days: float | None = Field(
        None,
        ge=0,
        description="Days since the last sending or review after which a scan is deleted whose results are all sent. "
        "null: never.",
    )
    results_days: float | None = Field(
        None, ge=0, description="Days after which the results of such a scan are deleted. null: never."
    )


class NodeConfiguration(Settings):
    """All settings of a node."""

    folder: Path = Field(description="Folder of inbox, queue, results and logs.")
    listen: Listener = Field(Listener(), description="The door for C-STORE and C-ECHO.")
    web: Web | None = Field(None, description="The door for DICOMweb STOW-RS; null: closed.")
    watch: Watch | None = Field(None, description="The folder whose DICOM files are taken in; null: none.")
    models: dict[str, NodeModel] = Field(min_length=1, description="Models by name.")
    destinations: dict[str, Destination] = Field({}, description="Receivers of results by name.")
    rules: tuple[Rule, ...] = Field(min_length=1, description="The first rule that fits a series applies.")
    quiet_seconds: float = Field(60, ge=0, description="A series may be complete when no slice has come for this time.")
    minimum_free_gb: float = Field(2, ge=0, description="Free disk space below which scans are refused.")
    job_minutes: float = Field(60, gt=0, description="Time after which a prediction counts as hung.")
    first_pause_seconds: float = Field(10, gt=0, description="Pause after the first failure to send; it doubles.")
    longest_pause_seconds: float = Field(3600, gt=0, description="Longest pause between two attempts to send.")
    poll_seconds: float = Field(1, gt=0, le=60, description="Interval between two looks at the queue.")
    retention: Retention = Field(Retention(), description="Deletion of what is no longer needed.")
    metrics_port: Port | None = Field(
        None, description="Port on 127.0.0.1 with metrics in Prometheus' text format; null: none."
    )

    @model_validator(mode="after")
    def _names_exist(self) -> "NodeConfiguration":
        for rule in self.rules:
            if rule.model is not None and rule.model not in self.models:
                raise ValueError(f"a rule names the model {rule.model}, which is not among models")
            for name in rule.destinations:
                if name not in self.destinations:
                    raise ValueError(f"a rule names the destination {name}, which is not among destinations")
        return self


EXAMPLE = """\
# A DICOM node: scans arrive, contours go back. For research use only.
# Run it with `gynbtnet node node.yaml`; `gynbtnet node --status node.yaml` reports what it is doing.
# Relative paths are relative to this file.

folder: node # inbox, queue, results and logs

listen: # C-STORE and C-ECHO
  address: 127.0.0.1 # this computer only; the address of a network card opens the node to that network
  port: 11112
  ae_title: GYNBTNET
  callers: # programs that may send; all others are rejected
    - {ae_title: STORESCU, addresses: [127.0.0.1]}
  tls: null # {certificate: node.pem, key: node.key, authority: authority.pem}

watch: null # {folder: incoming}: DICOM files that are copied into this folder are taken in as well
web: null # {port: 8042, token: at least 16 characters}: DICOMweb STOW-RS, needs gynbtnet[review]
# With port: null, only `gynbtnet review --node node.yaml` takes in instances, at /stow/studies.

models:
  pelvis: {path: model.zip, fast: false}

destinations: # receivers of the results
  planning: {address: 127.0.0.1, port: 11113, ae_title: PLANNING, send: [rtstruct]} # also: seg, preview

rules: # the first rule that fits a series applies; a series that fits none is ignored
  - {series_description: "*scout*", ignore: true}
  - {modality: CT, body_part: "*", calling_ae: "*", model: pelvis, destinations: [planning]}

quiet_seconds: 60 # a series may be complete when no slice has come for this time and its slices fit together
minimum_free_gb: 2 # below this free disk space, scans are refused with the DICOM status "out of resources"
job_minutes: 60 # a prediction that takes longer counts as hung

retention: # of scans whose results are all sent; days since the last sending or review
  received_days: 30 # then the scan is deleted from the inbox; null: never
  results_days: null

metrics_port: null # a port on 127.0.0.1 with metrics for Prometheus
"""


def load_configuration(path: Path) -> NodeConfiguration:
    """Read and check the configuration of a node.

    Args:
        path: YAML file; relative paths in it are relative to its folder.

    Returns:
        The configuration, with absolute paths.

    Raises:
        BadInput: If the file is absent or not YAML, a setting is unknown or has an impossible value, or a model or
            certificate doesn't exist.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no file {path}; write one with `gynbtnet node --init {path}`.")
    try:
        values = load_yaml(path)
    except (PlainDataError, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{path} is not a YAML file ({error}); see `gynbtnet node --init` for the form.") from error
    try:
        configuration = NodeConfiguration.model_validate(values)
    except ValidationError as problems:
        raise BadInput(_sentence(problems, path)) from problems
    return _with_absolute_paths(configuration, path.absolute().parent)


def write_example(path: Path) -> None:
    """Write a commented configuration.

    Args:
        path: YAML file to write.

    Raises:
        BadInput: If the file exists.
    """
    if path.exists():
        raise BadInput(f"{path} exists; give the path of a new file.")
    with atomic_write(path) as partial:
        partial.write_text(EXAMPLE, encoding="utf-8")


def _sentence(problems: ValidationError, path: Path) -> str:
    first = problems.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    expected = first["msg"].removeprefix("Value error, ")
    where = f"{key} in {path}" if key else str(path)
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting of a node; see `gynbtnet node --init` for all settings."
    if first["type"] == "missing":
        return f"{where} is missing; see `gynbtnet node --init` for the form."
    return f"{where} can't be used: {expected[0].lower()}{expected[1:]}."


def _with_absolute_paths(configuration: NodeConfiguration, base: Path) -> NodeConfiguration:
    def located(path: Path, what: str) -> Path:
        if not (base / path).exists():
            raise BadInput(f"{what} {base / path} does not exist; name an existing one in the node's configuration.")
        return base / path

    def with_files(tls: TLS | None) -> TLS | None:
        return tls and TLS(**{name: located(path, f"The {name} for TLS") for name, path in _paths(tls).items()})

    watch = configuration.watch
    return configuration.model_copy(
        update={
            "folder": base / configuration.folder,
            "watch": watch and watch.model_copy(update={"folder": located(watch.folder, "The watched folder")}),
            "models": {
                name: model.model_copy(update={"path": located(model.path, f"The model {name}")})
                for name, model in configuration.models.items()
            },
            "listen": configuration.listen.model_copy(update={"tls": with_files(configuration.listen.tls)}),
            "destinations": {
                name: destination.model_copy(update={"tls": with_files(destination.tls)})
                for name, destination in configuration.destinations.items()
            },
        }
    )


def _paths(tls: TLS) -> Mapping[str, Path]:
    return {"certificate": tls.certificate, "key": tls.key, "authority": tls.authority}
