"""The table of datasets: one row each. Imports the row types only.

The framing of `arcsinh-match-v1` is that of the reference (arXiv 2509.19453): both surveys of a pair show the
same few arcseconds around the galaxy. Its crop of HSC is rows and columns 68 to 92 of 160, widened on each side
by a tenth of that, in whole pixels: 28 pixels of 0.168 arcsec; of Legacy, 72 to 88, likewise: 18 of 0.262 arcsec.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from embedder.catalogue.rows import DatasetRow
from shared.errors import UnknownName
from shared.modalities import CatalogueColumn, Modality

_MATCH = "arcsinh-match-v1"


def _hsc(column: str) -> Modality:
    return Modality(
        name="hsc",
        kind="image",
        column=column,
        recipe=_MATCH,
        bands=("hsc-g", "hsc-r", "hsc-z"),
        field_arcsec=4.704,
        scale_arcsec=0.168,
    )


_JWST = Modality(
    name="jwst",
    kind="image",
    column="jwst_image",
    recipe=_MATCH,
    bands=("f090w", "f277w", "f444w"),
    scale_arcsec=0.04,
)
_LEGACY = Modality(
    name="legacysurvey",
    kind="image",
    column="legacysurvey_image",
    recipe=_MATCH,
    bands=("des-g", "des-r", "des-z"),
    field_arcsec=4.716,
    scale_arcsec=0.262,
)
_DESI = Modality(name="desi", kind="spectrum", column="spectrum", recipe="spectrum-v1")
_CATALOGUE = Modality(
    name="catalogue",
    kind="text",
    recipe="sentence-v1",
    columns=(
        CatalogueColumn(name="magnitude_i", title="i magnitude", unit="mag"),
        CatalogueColumn(name="colour_g_r", title="g-r colour", unit="mag"),
        CatalogueColumn(name="effective_radius", title="effective radius", unit="arcsec"),
        CatalogueColumn(name="inclination", title="inclination", unit="deg"),
    ),
)

_ROWS: tuple[DatasetRow, ...] = (
    DatasetRow(
        name="mocksky",
        title="A simulated sky: galaxies with known physics, as four surveys would see them",
        source="mocksky",
        revision="v1",
        modalities=(_hsc("hsc_image"), _JWST, _LEGACY, _DESI, _CATALOGUE),
        labels={
            "redshift": "",
            "log_stellar_mass": "dex(solMass)",
            "log_ssfr": "dex(1 / yr)",
            "bulge_to_total": "",
            "effective_radius": "arcsec",
            "inclination": "deg",
            "magnitude_i": "mag(AB)",
            "colour_g_r": "mag",
        },
        rows=512,
        most_rows=1_000_000,
        simulated=True,
        licence="Apache-2.0",
    ),
    DatasetRow(
        name="jwst_hsc",
        title="Galaxies seen by JWST and by Hyper Suprime-Cam",
        source="hub",
        location="Smith42/jwst_hsc_crossmatched",
        modalities=(_hsc("hsc_image"), _JWST),
    ),
    DatasetRow(
        name="legacysurvey_hsc",
        title="Galaxies seen by the DESI Legacy Imaging Surveys and by Hyper Suprime-Cam",
        source="hub",
        location="Smith42/legacysurvey_hsc_crossmatched",
        modalities=(_hsc("hsc_image"), _LEGACY),
    ),
    DatasetRow(
        name="desi_hsc",
        title="Galaxies with a DESI spectrum and a Hyper Suprime-Cam image",
        source="hub",
        location="Smith42/desi_hsc_crossmatched",
        modalities=(_hsc("image"), _DESI),
    ),
    DatasetRow(
        name="sdss_hsc",
        title="Galaxies of SDSS with a Hyper Suprime-Cam image",
        source="hub",
        location="Smith42/sdss_hsc_crossmatched",
        modalities=(_hsc("image"),),
    ),
)


def known_datasets() -> Mapping[str, DatasetRow]:
    """Every dataset by name. Rows that come from elsewhere join here, and nowhere else."""
    return _BY_NAME


def find_dataset(name: str) -> DatasetRow:
    """The row of one dataset. Raises UnknownName, with near names."""
    if name not in known_datasets():
        raise UnknownName.of("dataset", name, known_datasets())
    return known_datasets()[name]


_BY_NAME = MappingProxyType({row.name: row for row in _ROWS})
