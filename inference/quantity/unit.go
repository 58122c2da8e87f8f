package quantity

import "strings"

type unit struct {
	name  string
	scale float64 // of one such unit in the canonical one
}

// units maps spellings to canonical units. Months and years stay as they are:
// they have no fixed length.
var units = map[string]unit{
	"mcg": {"mg", 1e-3}, "µg": {"mg", 1e-3}, "μg": {"mg", 1e-3}, "ug": {"mg", 1e-3}, "microgram": {"mg", 1e-3}, "ng": {"mg", 1e-6},
	"mg": {"mg", 1}, "milligram": {"mg", 1}, "mgs": {"mg", 1},
	"g": {"mg", 1e3}, "gm": {"mg", 1e3}, "gram": {"mg", 1e3},
	"kg": {"kg", 1}, "kilogram": {"kg", 1},
	"ml": {"ml", 1}, "milliliter": {"ml", 1}, "millilitre": {"ml", 1}, "cc": {"ml", 1},
	"l": {"ml", 1e3}, "liter": {"ml", 1e3}, "litre": {"ml", 1e3}, "dl": {"ml", 100}, "deciliter": {"ml", 100},
	"ms": {"ms", 1}, "msec": {"ms", 1}, "millisecond": {"ms", 1},
	"sec": {"h", 1.0 / 3600}, "second": {"h", 1.0 / 3600},
	"min": {"h", 1.0 / 60}, "minute": {"h", 1.0 / 60},
	"h": {"h", 1}, "hr": {"h", 1}, "hour": {"h", 1},
	"day": {"h", 24}, "week": {"h", 168}, "wk": {"h", 168}, "wks": {"h", 168},
	"month": {"month", 1}, "mo": {"month", 1}, "year": {"year", 1}, "yr": {"year", 1}, "yo": {"year", 1},
	"meq": {"meq", 1}, "mmol": {"mmol", 1}, "mol": {"mmol", 1e3}, "unit": {"unit", 1}, "iu": {"unit", 1},
	"mmhg": {"mmhg", 1}, "bpm": {"bpm", 1}, "percent": {"%", 1},
	"tablet": {"tablet", 1}, "tab": {"tablet", 1}, "capsule": {"capsule", 1}, "cap": {"capsule", 1},
	"dose": {"dose", 1}, "drop": {"drop", 1}, "gtt": {"drop", 1}, "spray": {"spray", 1}, "puff": {"inhalation", 1}, "inhalation": {"inhalation", 1},
	"actuation": {"inhalation", 1}, "patch": {"patch", 1}, "time": {"time", 1}, "fold": {"fold", 1}, "am": {"am", 1}, "pm": {"pm", 1},
	"teaspoonful": {"teaspoon", 1}, "teaspoon": {"teaspoon", 1}, "ampule": {"ampule", 1}, "vial": {"vial", 1}, "cycle": {"cycle", 1},
}

// denominators keep their names: "mg/day" reads better than "mg/24h", and a
// rate is per one of them.
var denominators = map[string]string{
	"minute": "min", "min": "min", "hour": "h", "hr": "h", "h": "h", "day": "day", "d": "day", "daily": "day", "week": "week", "month": "month", "year": "year",
	"kg": "kg", "kilogram": "kg", "dose": "dose", "1.73m2": "1.73m2", "m2": "m2", "m²": "m2", "ml": "ml", "milliliter": "ml", "l": "l", "liter": "l", "dl": "dl",
	"tablet": "tablet", "actuation": "actuation", "inhalation": "actuation", "mm": "mm",
}

func singular(w string) string {
	if _, ok := units[w]; ok {
		return w
	}
	if s, ok := strings.CutSuffix(w, "es"); ok {
		if _, ok := units[s]; ok {
			return s
		}
	}
	return strings.TrimSuffix(w, "s")
}

// unitAfter reads the unit that begins at toks[i]; "" and 1 where none does.
func unitAfter(toks []token, i int) (string, float64) {
	name, scale, _ := unitFrom(toks, i)
	return name, scale
}

// unitFrom also returns where the unit ends.
func unitFrom(toks []token, i int) (name string, scale float64, next int) {
	if i >= len(toks) {
		return "", 1, i
	}
	start := i
	if toks[i].kind == percent {
		return "%", 1, i + 1
	}
	// "12-hour", "500-mg": a hyphen between the number and its unit
	if toks[i].kind == joiner && toks[i].text == "-" && i+1 < len(toks) && toks[i+1].kind == word && toks[i+1].start == toks[i].end {
		i++
	}
	if toks[i].kind != word {
		return "", 1, start
	}
	u, ok := units[singular(toks[i].text)]
	if !ok {
		return "", 1, start
	}
	name, scale = u.name, u.scale
	i++
	for i+1 < len(toks) {
		d, n := denominatorAt(toks, i)
		if n == 0 {
			break
		}
		// mg per dl and mmol per l are said of blood, and never rescaled.
		name += "/" + d
		i += n
	}
	// "1 minute" as a rate's numerator never occurs; a volume per time keeps ml.
	return name, scale, i
}

// denominatorAt reads "/day", "per day", "/ 1.73 m2" or "a day" at toks[i].
func denominatorAt(toks []token, i int) (string, int) {
	var w token
	switch {
	case toks[i].kind == slash:
		w = toks[i+1]
	case toks[i].kind == word && (toks[i].text == "per" || toks[i].text == "a" || toks[i].text == "each" || toks[i].text == "every"):
		w = toks[i+1]
	case toks[i].kind == word && toks[i].text == "daily":
		return "day", 1
	default:
		return "", 0
	}
	if w.kind != word {
		return "", 0
	}
	if d, ok := denominators[w.text]; ok {
		return d, 2
	}
	if d, ok := denominators[singular(w.text)]; ok {
		return d, 2
	}
	return "", 0
}
