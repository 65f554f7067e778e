"""Commands of LaTeX, amsmath and amssymb that only set mathematics: they read, write, define and repeat nothing."""

from typing import Final

_LETTERS: Final = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi omicron pi
    varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega digamma Gamma Delta Theta Lambda Xi Pi
    Sigma Upsilon Phi Psi Omega varGamma varDelta varTheta varLambda varXi varPi varSigma varUpsilon varPhi varPsi
    varOmega aleph beth gimel daleth ell hbar hslash imath jmath wp Re Im partial nabla infty complement eth Finv
    Game mho emptyset varnothing forall exists nexists neg lnot top bot angle measuredangle sphericalangle surd
    prime backprime square blacksquare Box Diamond lozenge triangle blacktriangle bigstar star clubsuit diamondsuit
    heartsuit spadesuit flat natural sharp checkmark dagger ddagger dag ddag S P degree"""
_OPERATORS: Final = """
    sum prod coprod int iint iiint oint bigcap bigcup bigsqcup bigvee bigwedge bigodot bigotimes bigoplus biguplus
    pm mp times div ast circ bullet cdot cap cup uplus sqcap sqcup vee wedge lor land setminus smallsetminus wr
    diamond amalg oplus ominus otimes oslash odot bigcirc bigtriangleup bigtriangledown triangleleft triangleright
    ltimes rtimes boxplus boxminus boxtimes boxdot circledast circledcirc dotplus centerdot arccos arcsin arctan arg
    cos cosh cot coth csc deg det dim exp gcd hom inf injlim ker lg lim liminf limsup ln log max min Pr projlim sec
    sin sinh sup tan tanh bmod mod limits nolimits over atop choose"""
_RELATIONS: Final = """
    le leq leqq leqslant ge geq geqq geqslant ll gg lll ggg lesssim gtrsim lessapprox gtrapprox lessgtr gtrless ne
    neq equiv sim simeq approx approxeq cong doteq triangleq asymp propto varpropto prec succ preceq succeq precsim
    succsim subset supset subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq sqsubset sqsupset sqsubseteq
    sqsupseteq in ni notin owns mid nmid parallel nparallel perp vdash dashv models vDash Vdash smile frown bowtie
    Join between because therefore colon lt gt nless ngtr nleq ngeq ncong nsim trianglelefteq trianglerighteq
    vartriangleleft vartriangleright vartriangle coloneqq"""
_ARROWS: Final = """
    to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow longleftarrow longrightarrow
    longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow iff implies impliedby mapsto longmapsto
    uparrow downarrow updownarrow Uparrow Downarrow Updownarrow nearrow searrow swarrow nwarrow hookleftarrow
    hookrightarrow rightharpoonup rightharpoondown leftharpoonup leftharpoondown rightleftharpoons leftrightharpoons
    leadsto twoheadrightarrow rightarrowtail rightsquigarrow leftrightarrows rightleftarrows upharpoonright
    restriction nrightarrow nleftarrow nRightarrow dashrightarrow circlearrowleft circlearrowright curvearrowleft
    curvearrowright"""
_FENCES: Final = """
    langle rangle lfloor rfloor lceil rceil lvert rvert lVert rVert vert Vert lbrace rbrace lbrack rbrack backslash
    lgroup rgroup lmoustache rmoustache ulcorner urcorner llcorner lrcorner"""
_LAYOUT: Final = """
    ldots cdots vdots ddots dots dotsc dotsb dotso quad qquad enspace thinspace negthinspace displaystyle textstyle
    scriptstyle scriptscriptstyle rm bf it cal sf tt"""
_ONE: Final = """
    hat widehat tilde widetilde bar vec dot ddot dddot acute grave check breve mathring overline underline overbrace
    underbrace overrightarrow overleftarrow overleftrightarrow sqrt mathrm mathbf mathit mathsf mathtt mathnormal
    mathcal mathbb mathfrak mathscr boldsymbol bm pmod pod operatorname mathop mathbin mathrel mathord mathopen
    mathclose phantom not xrightarrow xleftarrow"""
_TWO: Final = "frac dfrac tfrac cfrac binom dbinom tbinom stackrel overset underset"
_SIZES: Final = "big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm"

SYMBOLS: Final = frozenset(f"{_LETTERS} {_OPERATORS} {_RELATIONS} {_ARROWS} {_FENCES} {_LAYOUT}".split())
"""Commands without arguments."""
ARGUMENTS: Final = dict.fromkeys(_ONE.split(), 1) | dict.fromkeys(_TWO.split(), 2)
"""Commands and how many arguments each takes."""
SIZES: Final = frozenset(_SIZES.split())
r"""Commands that, like `\left`, take a delimiter."""
DELIMITERS: Final = frozenset("()[]|/<>.") | {f"\\{name}" for name in _FENCES.split()} | {r"\|"}
TEXT: Final = "text|mbox|textrm|textit|textbf|textsc|textsf|textnormal"
"""Commands whose argument is text, as a pattern."""
