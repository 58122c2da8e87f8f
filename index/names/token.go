package names

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a run of letters and digits of a text; an apostrophe within it is
// left out of word.
type token struct {
	word       string // in lower case
	start, end int
	upper      bool // typed in capitals, two letters or more
	capital    bool // begins with a capital
	digits     bool // begins with a digit
	names      int  // words of the longest name or class that begins here, if any could
}

func tokens(text string) []token {
	var out []token
	start := -1
	flush := func(end int) {
		if start < 0 {
			return
		}
		raw := text[start:end]
		w := strings.ToLower(raw)
		if strings.ContainsAny(w, "'’") {
			w = strings.NewReplacer("'", "", "’", "").Replace(w)
		}
		r, _ := utf8.DecodeRuneInString(raw)
		out = append(out, token{word: w, start: start, end: end, upper: len(raw) > 1 && raw == strings.ToUpper(raw), capital: unicode.IsUpper(r), digits: unicode.IsDigit(r)})
		start = -1
	}
	prev := rune(0)
	for i, r := range text {
		word := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !word && (r == '\'' || r == '’') && start >= 0 && unicode.IsLetter(prev) {
			next, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
			word = unicode.IsLetter(next)
		}
		if word && start < 0 {
			start = i
		} else if !word {
			flush(i)
		}
		prev = r
	}
	flush(len(text))
	return out
}

// keyOf a name: its words in lower case, one space between them.
func keyOf(name string) string {
	ts := tokens(name)
	if len(ts) == 1 {
		return ts[0].word
	}
	ws := make([]string, len(ts))
	for i, t := range ts {
		ws[i] = t.word
	}
	return strings.Join(ws, " ")
}

func set(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// wordNames are brands that are English words too: names only with a capital.
var wordNames = set("versed emend sonata soma intermezzo alli luminal sular orap")

// salts and hydrates stand beside a medicine's name without changing what it is.
var salts = set(`hydrochloride hcl dihydrochloride sodium potassium calcium magnesium disodium dipotassium tartrate bitartrate besylate
 succinate mesylate dimesylate maleate malate fumarate phosphate sulfate bisulfate acetate citrate tosylate bromide hydrobromide
 chloride nitrate monohydrate dihydrate trihydrate hemihydrate sesquihydrate hydrate anhydrous etexilate medoxomil cilexetil proxetil
 axetil pamoate lactate gluconate estolate ethylsuccinate stearate esylate xinafoate propionate furoate dipropionate valerate
 acetonide erbumine strontium saccharate aspartate tromethamine meglumine besilate mesilate polistirex pivoxil fosamil isethionate hyclate
 monosodium trometamol napsylate salts salt`)

// forms are dosage forms, strengths and letters behind a brand.
var forms = set(`tablet tablets capsule capsules injection injections solution suspension oral topical cream ointment lotion gel patch
 spray drops powder syrup elixir kit inhaler inhalation aerosol extended delayed immediate release chewable coated film effervescent
 disintegrating dispersible sublingual buccal nasal ophthalmic otic rectal vaginal transdermal intravenous intramuscular subcutaneous
 prefilled syringe pen autoinjector concentrate lyophilized for and with the of usp nf er xr sr xl cr la dr ec odt ir hfa lp mg mcg ml g
 respiclick ellipta diskus flexhaler handihaler respimat pressair neohaler flextouch kwikpen solostar administration use only`)

// bare is a key without salts, forms and numbers; "" where nothing is left.
func bare(key string) string {
	ws := strings.Fields(key)
	kept := ws[:0]
	for _, w := range ws {
		if !salts[w] && !forms[w] && !(w[0] >= '0' && w[0] <= '9') {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}
