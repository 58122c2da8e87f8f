package telemetrytest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"

	"rxedge/daemon/telemetry"
	"rxedge/inference/semantic"
)

// Space that made-up questions lie in: the built-in embedder's.
const Space = 7

// usual and Terse are two ways of asking the same things of the same medicines.
var (
	usual = map[string][]string{
		"dose":             {"What is the usual dose of %s for an adult?", "How much %s can be given in a day?", "What is the maximum daily dose of %s?", "Which dose of %s should one start with?"},
		"renal":            {"How should the dose of %s be changed with an eGFR of 40?", "Can %s be given in renal impairment?", "Is %s safe with reduced kidney function?"},
		"interaction":      {"Can %s be taken together with amiodarone?", "Which medicines interact with %s?", "Does %s interact with grapefruit juice?"},
		"pregnancy":        {"Is %s safe during pregnancy?", "Can a pregnant woman take %s?", "What are the risks of %s for the unborn child?"},
		"adverse":          {"What are the common side effects of %s?", "Can %s cause a cough?", "Which adverse reactions does %s have?"},
		"contraindication": {"Who should not take %s?", "When is %s contraindicated?", "What are the contraindications of %s?"},
		"none":             {"How should %s be stored?", "How does %s work?", "What are the ingredients of %s tablets?"},
	}
	terse = map[string][]string{
		"dose":             {"pt new on %s, max mg qd pls", "%s tabs how many tid??", "mg per kg %s for this guy", "rx says %s 2x tab, too much?"},
		"renal":            {"bad kidneys crcl 35 still ok %s", "on HD today, give or hold %s", "%s hold if creat up?"},
		"interaction":      {"%s + amio ok y/n", "pt takes lots of stuff plus %s, clash?", "any ddi w/ %s"},
		"pregnancy":        {"lady expecting wants %s ok?", "preg cat %s", "mum to be took %s by mistake"},
		"adverse":          {"pt coughs since %s, is it that", "feels sick after %s normal?", "%s side fx list"},
		"contraindication": {"any no go for %s", "%s never with what", "stop sign list %s"},
		"none":             {"left %s in the car hot ok?", "%s fridge y/n", "whats in %s pills"},
	}
	examples = map[string][]string{
		"statin": {"atorvastatin", "simvastatin"}, "ace-inhibitor": {"lisinopril", "ramipril"}, "anticoagulant": {"apixaban", "warfarin", "rivaroxaban"}, "ssri": {"sertraline", "citalopram"},
		"biguanide": {"metformin"}, "nsaid": {"ibuprofen", "naproxen"}, "opioid": {"morphine", "oxycodone"}, "ppi": {"omeprazole"}, "beta-blocker": {"metoprolol", "bisoprolol"}, "arb": {"losartan"},
		"sulfonylurea": {"glipizide"}, "fluoroquinolone": {"ciprofloxacin"}, "macrolide": {"azithromycin"},
	}
)

// phrased are where questions lie by kind, class and way of asking.
var phrased = sync.OnceValues(func() (map[string][]telemetry.Projected, error) {
	m, err := semantic.Builtin()
	if err != nil {
		return nil, err
	}
	out := map[string][]telemetry.Projected{}
	for way, phrases := range map[string]map[string][]string{"usual": usual, "terse": terse} {
		for kind, texts := range phrases {
			for class, names := range examples {
				var all []string
				for _, t := range texts {
					for _, n := range names {
						all = append(all, fmt.Sprintf(t, n))
					}
				}
				vs, err := m.Embed(context.Background(), all)
				if err != nil {
					return nil, err
				}
				key := strings.Join([]string{way, kind, class}, "/")
				for _, v := range vs {
					out[key] = append(out[key], telemetry.Project(Space, v))
				}
			}
		}
	}
	return out, nil
})

// place a question where one of its kind and class lies, as it is usually asked. Which
// one is taken from the last bits of its time, so that nothing else of a replay depends
// on it.
func place(o *telemetry.Observation, way string) {
	all, err := phrased()
	if err != nil {
		panic(err) // the model is a part of the binary
	}
	class := o.In[telemetry.Class]
	if examples[class] == nil {
		class = "biguanide"
	}
	ps := all[way+"/"+o.In[telemetry.Kind]+"/"+class]
	o.Projected = ps[math.Float64bits(o.Values[telemetry.Latency])>>3%uint64(len(ps))]
}

// Terse asks the same in another way: nothing but the phrasing is another.
func Terse(o *telemetry.Observation) { place(o, "terse") }
