"""BibTeX files."""

SOUND = r"""What stands before is a comment.
@string{me = "Gauss, C. F."}
@article{brown2020, title={Language Models are {Few-Shot} Learners}, author={Brown, Tom B. and G{\"o}del, Kurt},
  year=2020, journal={arXiv preprint arXiv:2005.14165}, abstract={We pay $x^2 \log n$ at 50\% of
  {\'e}tudes}, url={javascript:alert(1)}}
  @inproceedings(doe, title="A title with <b>markup</b> & all", doi={https://doi.org/10.1145/ABC.1}, author = me)
@misc{eprint, eprint={hep-th/9901001v2}, archivePrefix={arXiv}}
"""
