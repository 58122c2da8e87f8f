package validate

import (
	"fmt"
	"strings"

	"rxedge/inference/llama"
)

// Needs is what the candidate's models take by their files' headers, and what
// there is, in bytes. Nothing is loaded to know it.
type Needs struct {
	Models []ModelNeed
	// Host and Device are the budgets of the machine's memory and of the card's
	// for all models together; 0: unchecked.
	Host, Device int64
	// Asks is what a firmware profile says that the machine must have, and Machine
	// what it has; 0: unchecked.
	Asks, Machine int64
	// Serving is what the pair that serves has loaded and keeps while the
	// candidate warms up, of each.
	ServingHost, ServingDevice int64
}

// ModelNeed is one model's.
type ModelNeed struct {
	Name     string
	Estimate llama.Estimate
	// Err: its header can't be read.
	Err error
}

// NeedOf reads a model's header.
func NeedOf(o llama.Options) ModelNeed {
	e, err := llama.EstimateMemory(o)
	return ModelNeed{Name: o.Name, Estimate: e, Err: err}
}

// Check them against what there is.
func (n *Needs) Check() Check {
	c := Check{Name: Memory, Pass: true}
	if n.Machine > 0 && n.Asks > n.Machine {
		return Check{Name: Memory, Candidate: figure(float64(n.Asks)), Limit: figure(float64(n.Machine)),
			Detail: fmt.Sprintf("the profile asks for %s of memory and the machine has %s", mb(n.Asks), mb(n.Machine))}
	}
	overHost := func(need int64) bool { return n.Host > 0 && need > n.Host }
	overDevice := func(need int64) bool { return n.Device > 0 && need > n.Device }
	var host, device int64
	var each []string
	for _, m := range n.Models {
		if m.Err != nil {
			return Check{Name: Memory, Detail: fmt.Sprintf("model %s: its header can't be read: %v", m.Name, m.Err)}
		}
		e := m.Estimate
		host, device = host+e.Host(), device+e.Device
		each = append(each, fmt.Sprintf("%s: weights %s, context %s, beside these %s", m.Name, mb(e.Weights), mb(e.KV), mb(e.Compute+e.Process)))
	}
	detail := strings.Join(each, "; ")
	need, have, where := host, n.Host, "the machine's memory"
	if n.Device > 0 && (overDevice(device) || !overHost(host) && device > 0) {
		need, have, where = device, n.Device, "the card's memory"
	}
	c.Candidate, c.Limit, c.N = figure(float64(need)), figure(float64(have)), len(n.Models)
	switch {
	case overHost(host) || overDevice(device):
		c.Pass = false
		c.Detail = fmt.Sprintf("it needs %s of %s and all models together may take %s: give it a smaller context or fewer slots, or a smaller model (%s)", mb(need), where, mb(have), detail)
	case overHost(host+n.ServingHost) || overDevice(device+n.ServingDevice):
		c.Detail = fmt.Sprintf("it fits, but not beside what serves now: that is unloaded first, and going back takes as long as loading it (%s)", detail)
	default:
		c.Detail = detail
	}
	return c
}

func mb(n int64) string { return fmt.Sprintf("%d MB", (n+500_000)/1_000_000) }
