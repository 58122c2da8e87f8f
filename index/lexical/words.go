package lexical

import "strings"

func set(s string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// Stop words say nothing about what a passage is about. "no", "not" and
// "without" stay terms: they turn advice round.
var englishStop = set(`a about above after again against all also am an and any are as at be because been before being below between
	both but by can could did do does doing don down during each few for from further had has have he her here
	hers him his how i if in into is it its just may me might more most must my nor now of off on once only or
	other our ourselves out over own s same she should so some such t than that the their them themselves then
	there these they this those through to too under until up us very was we were what when where which while who
	whom why will with would you your yourself`)

// Folded, but for ñ. "no", "ni" and "sin" stay terms.
var spanishStop = set(`a al algo algun alguna algunas alguno algunos ante antes aquel aquella aquellas aquello aquellos aqui asi aun aunque bajo bien
	cada casi como con contra cual cuales cualquier cualquiera cuando cuanto cuantos de del desde donde durante e el ella ellas ello ellos en
	entonces entre era eran es esa esas ese eso esos esta estaba estaban estado estamos estan estar estas este esto estos
	fue fuera fueron ha habia haber habra han has hasta hay haya he hemos incluso la las le les lo los luego mas me mediante mi mientras
	mis mismo mucha muchas mucho muchos muy nos nosotros nuestra nuestro o os otra otras otro otros para pero poco por porque pues que
	quien quienes se sea sean segun ser si sido siempre sino sobre sois solo somos son soy su sus suya suyo tal tambien tan
	tanto te tenga tener tengo ti tiene tienen toda todas todavia todo todos tras tu tus u un una unas uno unos usted ustedes va vez y ya yo`)

// genericWords stand in the names of many products and are stemmed like any
// other word.
var genericWords = set(`tablet tablets capsule capsules injection injections solution solutions suspension suspensions
 oral topical cream creams ointment ointments lotion gel gels patch patches spray sprays drops powder powders syrup elixir kit
 inhaler inhalers inhalation aerosol extended delayed immediate release chewable coated film effervescent disintegrating dispersible
 sublingual buccal nasal ophthalmic otic rectal vaginal transdermal intravenous intramuscular subcutaneous prefilled syringe pen pens
 strength extra maximum adult adults child children pediatric infant infants sterile and with for free sugar flavor daily night
 relief pain cold cough allergy fever sinus severe multi symptom formula liquid soft gels vitamin vitamins mineral minerals label
 guideline table human water acid`)

// units by their spellings, folded, to the one that is indexed.
var units = map[string]string{
	"mg": "mg", "milligram": "mg", "milligrams": "mg", "mgs": "mg",
	"g": "g", "gm": "g", "gms": "g", "gram": "g", "grams": "g",
	"kg": "kg", "kilogram": "kg", "kilograms": "kg", "kgs": "kg",
	"mcg": "mcg", "ug": "mcg", "microgram": "mcg", "micrograms": "mcg", "mcgs": "mcg",
	"ng": "ng", "nanogram": "ng", "nanograms": "ng",
	"ml": "ml", "milliliter": "ml", "milliliters": "ml", "millilitre": "ml", "millilitres": "ml", "cc": "ml",
	"l": "l", "liter": "l", "liters": "l", "litre": "l", "litres": "l",
	"dl": "dl", "mmol": "mmol", "mcmol": "mcmol", "mol": "mol", "meq": "meq", "mosm": "mosm",
	"miligramo": "mg", "miligramos": "mg", "gramo": "g", "gramos": "g", "microgramo": "mcg", "microgramos": "mcg",
	"mililitro": "ml", "mililitros": "ml", "litro": "l", "litros": "l", "unidad": "unit", "unidades": "unit", "ui": "iu",
	"iu": "iu", "unit": "unit", "units": "unit", "mmhg": "mmhg", "m2": "m2", "cm": "cm", "mm": "mm",
}

var greekNames = map[rune]string{
	'α': "alpha", 'β': "beta", 'γ': "gamma", 'δ': "delta", 'ε': "epsilon", 'ζ': "zeta", 'η': "eta", 'θ': "theta",
	'ι': "iota", 'κ': "kappa", 'λ': "lambda", 'μ': "mu", 'ν': "nu", 'ξ': "xi", 'ο': "omicron", 'π': "pi", 'ρ': "rho",
	'σ': "sigma", 'ς': "sigma", 'τ': "tau", 'υ': "upsilon", 'φ': "phi", 'χ': "chi", 'ψ': "psi", 'ω': "omega",
}
