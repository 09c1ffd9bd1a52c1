"""The conditioners of the zoo."""

from registry.tables import conditioners

conditioners.lazy(
    "aux-decoder",
    "zoo.conditioners.aux_decoder:AuxDecoder",
    summary="The first mel of a shallow diffusion, by a small convolutional network.",
    paper="Liu et al. 2022, arXiv 2201.03545",
)
conditioners.lazy(
    "svc",
    "zoo.conditioners.svc:SVC",
    summary="Units stretched to mel frames, plus a learned row for the pitch: diff-svc.",
    paper="Liu et al. 2021, arXiv 2105.13871",
)
conditioners.lazy(
    "unit2mel",
    "zoo.conditioners.unit2mel:Unit2Mel",
    summary="Linear in units, pitch and loudness: DDSP-SVC and its relatives.",
)
