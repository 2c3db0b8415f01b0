package telemetry

// Plan is how requests or connections are counted where something is different from the standard. A nil Plan is the standard. Immutable.
type Plan struct {
	metrics map[string]Override // by short name; "" for the others
	// Expressions are those of all labels, ordered and each once.
	Expressions []string
	text        string
}

// NewPlan makes a plan; nil when nothing is different.
func NewPlan(o Overrides) *Plan {
	if o.Empty() {
		return nil
	}
	p := &Plan{metrics: map[string]Override{}, Expressions: o.Expressions(), text: o.text()}
	for _, m := range o.Metrics {
		p.metrics[m.Name] = m
	}
	return p
}

// String is the same for plans that say the same, whichever configuration they are of.
func (p *Plan) String() string {
	if p == nil {
		return ""
	}
	return p.text
}

// Of is what is different about a metric.
func (p *Plan) Of(m Metric) Override {
	if p == nil {
		return Override{}
	}
	if o, ok := p.metrics[m.ShortName()]; ok {
		return o
	}
	return p.metrics[""]
}
