package maml

import "github.com/trustbook/trustbook/fewshot/meta"

// The names of the compared methods.
const (
	MAML      = "MAML"
	In        = "in"                // robust fine-tuning only
	Out       = "out"               // robust meta-update only
	Both      = "both"              //
	Trades    = "out, TRADES"       // the label-free regularizer
	Unlabeled = "out, unlabeled"    // TRADES on unlabeled images too
	More      = "out, 4× unlabeled" // on four times as many, or on all that the smallest class has left
	Slow      = "out, PGD-7"        // a slow attack in training
	ANIL      = "out, ANIL"         // light fine-tuning: the last layer alone
	CL        = "out, CL"           // TRADES, and the contrastive task
	FOMAML    = "FOMAML"            // of first order
	FOOut     = "FO out"            // of first order, robust meta-update
)

// MethodNames are all methods that Run can compare.
var MethodNames = []string{MAML, In, Out, Both, Trades, Unlabeled, More, Slow, ANIL, CL, FOMAML, FOOut}

// Method is the method of a name at the sizes of the configuration.
func (c Config) Method(name string) meta.Method {
	c = c.WithDefaults()
	m := meta.Method{Name: name, Inner: meta.InnerLoop{Steps: c.InnerSteps, LR: c.InnerLR}, Epsilon: c.Epsilon, LR: c.LR}
	switch name {
	case In:
		m.GammaIn = 1
	case Out, FOOut:
		m.GammaOut = c.GammaCE
	case Both:
		m.GammaIn, m.GammaOut = 1, c.GammaCE
	case Trades, Unlabeled, More:
		m.GammaOut, m.Regularizer = c.GammaKL, meta.TRADES
	case Slow:
		m.GammaOut, m.AttackSteps = c.GammaCE, 7
	case ANIL:
		m.GammaOut, m.Inner.HeadOnly = c.GammaCE, true
	case CL:
		m.GammaOut, m.Regularizer, m.GammaCL = c.GammaKL, meta.TRADES, 0.1
	}
	m.Inner.FirstOrder = name == FOMAML || name == FOOut
	return m.WithDefaults()
}
