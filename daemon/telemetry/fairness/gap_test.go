package fairness

import (
	"math"
	"testing"
)

// The first eight are the cases of Newcombe's table II (Statistics in Medicine 17, 1998),
// which are checked against the four digits that it has, too; the figures are made of
// scipy.stats.binomtest(k, n).proportion_ci(1-alpha, method="wilson"), by Newcombe's
// equations for method 10.
func TestNewcombe(t *testing.T) {
	t.Parallel()
	published := [][2]float64{{0.0524, 0.3339}, {0.1705, 0.8090}, {0.0582, 0.8062}, {-0.0381, 0.1926}, {-0.1611, 0.2775}, {-0.2775, 0.2775}, {0.6791, 1}, {0.6075, 1}}
	for i, c := range []struct {
		a, b             Share
		alpha, low, high float64
	}{
		{Share{56, 70}, Share{48, 80}, 0.05, 0.052431472402365, 0.333872654036906},
		{Share{9, 10}, Share{3, 10}, 0.05, 0.170522723934503, 0.809017973535488},
		{Share{6, 7}, Share{2, 7}, 0.05, 0.058227927482312, 0.806249637524228},
		{Share{5, 56}, Share{0, 29}, 0.05, -0.038137147903537, 0.192560013855112},
		{Share{0, 10}, Share{0, 20}, 0.05, -0.161125158052819, 0.277532799862889},
		{Share{0, 10}, Share{0, 10}, 0.05, -0.277532799862889, 0.277532799862889},
		{Share{10, 10}, Share{0, 20}, 0.05, 0.679086037141915, 1.000000000000000},
		{Share{10, 10}, Share{0, 10}, 0.05, 0.607509350430524, 1.000000000000000},
		{Share{95, 238}, Share{136, 314}, 0.001, -0.168775629416839, 0.104467877250408},
		{Share{0, 71}, Share{43, 96}, 0.05, -0.547483614022526, -0.339445033379573},
		{Share{41, 258}, Share{85, 238}, 0.05, -0.272366181844380, -0.121808676459523},
		{Share{20, 284}, Share{194, 316}, 0.05, -0.600934936696230, -0.478070900950457},
		{Share{57, 87}, Share{216, 361}, 0.016666666666666666, -0.084561253406649, 0.182619142548777},
		{Share{30, 81}, Share{6, 87}, 0.016666666666666666, 0.151550541252633, 0.440801835314625},
		{Share{32, 57}, Share{8, 68}, 0.005, 0.208478524726212, 0.624142422891134},
		{Share{196, 397}, Share{52, 353}, 0.05, 0.282743844825986, 0.405569334664846},
		{Share{57, 150}, Share{92, 105}, 0.05, -0.585306850643365, -0.385633858248062},
		{Share{197, 216}, Share{17, 45}, 0.016666666666666666, 0.347847909095433, 0.688287015923092},
		{Share{35, 108}, Share{87, 204}, 0.05, -0.208477732350774, 0.011573928835783},
		{Share{22, 23}, Share{0, 103}, 0.05, 0.786249061921425, 0.992283333856547},
		{Share{96, 211}, Share{27, 29}, 0.001, -0.599185289266404, -0.161567252502383},
		{Share{6, 252}, Share{30, 72}, 0.016666666666666666, -0.533757021142517, -0.260111009878662},
	} {
		low, high := newcombe(c.a, c.b, c.alpha)
		if math.Abs(low-c.low) > 1e-9 || math.Abs(high-c.high) > 1e-9 {
			t.Errorf("%v, %v: %v to %v, want %v to %v", c.a, c.b, low, high, c.low, c.high)
		}
		if i < len(published) && (math.Abs(low-published[i][0]) > 5.1e-5 || math.Abs(high-published[i][1]) > 5.1e-5) {
			t.Errorf("%v, %v: %v to %v, published %v", c.a, c.b, low, high, published[i])
		}
	}
}

func TestGaps(t *testing.T) {
	t.Parallel()
	groups := map[string]Share{"a": {2, 40}, "b": {30, 40}, "c": {10, 12}, "none": {}}
	gs := Gaps(groups, 0.05)
	if len(gs) != 3 || gs[0].Most != "b" || gs[0].Least != "a" || gs[0].Difference != 0.7 {
		t.Fatalf("the surest pair comes first: %+v", gs)
	}
	if low, _ := newcombe(groups["b"], groups["a"], 0.05/3); gs[0].Low != low {
		t.Errorf("%v, want %v: three pairs share the error", gs[0].Low, low)
	}
	if gs := Gaps(map[string]Share{"a": {1, 2}}, 0.05); len(gs) != 0 {
		t.Errorf("one group lies apart from nothing: %+v", gs)
	}
}
