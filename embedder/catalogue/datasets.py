"""The table of datasets: one row each. Imports the row types only.

The framing of `arcsinh-match-v1` is that of the reference (arXiv 2509.19453): both surveys of a pair show nearly
the same few arcseconds around the galaxy. Its crop of HSC is rows and columns 68 to 92 of 160, widened on each side
by a tenth of that, in whole pixels: 28 pixels of 0.168 arcsec; of Legacy, 72 to 88, likewise: 18 of 0.262 arcsec.
JWST is shown whole, as there: 96 pixels of 0.04 arcsec are 3.84 arcsec, four fifths of the side that HSC shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from embedder.catalogue.rows import DatasetRow
from embedder.extensions import with_rows
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


def _picture(name: str, column: str) -> Modality:
    return Modality(name=name, kind="image", column=column, recipe="picture-v1")


def _told(columns: tuple[CatalogueColumn, ...]) -> tuple[CatalogueColumn, ...]:
    return tuple(column.model_copy(update={"centre": 0.0}) for column in columns)


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

# The centres are the medians of the table, to a tenth of a magnitude.
_SDSS = tuple(
    CatalogueColumn(name=f"sdss_{band}", title=f"{band} magnitude", unit="mag", centre=centre)
    for band, centre in zip("ugriz", (19.3, 17.6, 16.7, 16.3, 16.0), strict=True)
)
_TWOMASS = tuple(
    CatalogueColumn(name=f"2mass_{band.lower()}", title=f"{band} magnitude", unit="mag", centre=centre)
    for band, centre in zip("JHK", (14.8, 14.1, 13.6), strict=True)
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
    DatasetRow(
        name="galaxies",
        title="8.5 million galaxies of the DESI Legacy Imaging Surveys in colours, with what is known of many of them",
        source="hub",
        location="Smith42/galaxies",
        revision="v2.0",
        id_column="dr8_id",
        modalities=(_picture("legacysurvey", "image"),),
        labels={
            "redshift": "",
            "mag_g_desi": "mag(AB)",
            "mag_r_desi": "mag(AB)",
            "mag_z_desi": "mag(AB)",
            "elpetro_absmag_r": "mag(AB)",
            "elpetro_mass_log": "dex(solMass)",
            "total_sfr_median": "dex(solMass / yr)",
            "total_ssfr_median": "dex(1 / yr)",
            "est_petro_th50": "arcsec",
            "sersic_n": "",
            "smooth-or-featured_smooth_fraction": "",
            "disk-edge-on_yes_fraction": "",
            "has-spiral-arms_yes_fraction": "",
            "merging_merger_fraction": "",
        },
        missing=(-99.0, -999.0, -9999.0),
    ),
    DatasetRow(
        name="cosmosweb",
        title="Galaxies of COSMOS-Web, seen by JWST and by Hyper Suprime-Cam, in colours",
        source="hub",
        location="Ashodkh/cosmosweb-hsc-jwst-high-snr-pil2",
        modalities=(_picture("hsc", "hsc_images"), _picture("jwst", "jwst_images")),
        labels={
            "lephare_photozs": "",
            "mag_model_hsc-g": "mag(AB)",
            "mag_model_hsc-r": "mag(AB)",
            "lp_mass": "dex(solMass)",
            "lp_ssfr": "dex(1 / yr)",
        },
        missing=(-99.0, -999.0),
    ),
    DatasetRow(
        name="sdss_2mass",
        title="Galaxies as the catalogues of SDSS (optical) and of 2MASS (near infrared) have them",
        source="kcorrect",
        location="kcorrect",
        revision="5.1.9",
        modalities=(
            Modality(name="sdss", kind="text", recipe="sentence-v1", columns=_told(_SDSS)),
            Modality(name="2mass", kind="text", recipe="sentence-v1", columns=_told(_TWOMASS)),
            Modality(name="sdss-numbers", kind="numbers", recipe="numbers-v1", columns=_SDSS),
            Modality(name="2mass-numbers", kind="numbers", recipe="numbers-v1", columns=_TWOMASS),
        ),
        labels={"redshift": ""},
        rows=10_000,
        most_rows=10_000,
        licence="BSD-3-Clause",
    ),
)


@lru_cache(maxsize=1)
def known_datasets() -> Mapping[str, DatasetRow]:
    """Every dataset by name: ours and those of installed packages. Raises BadExtension."""
    return with_rows(_ROWS, lambda extension: extension.datasets)


def find_dataset(name: str) -> DatasetRow:
    """The row of one dataset. Raises UnknownName, with near names."""
    if name not in known_datasets():
        raise UnknownName.of("dataset", name, known_datasets())
    return known_datasets()[name]
