package terms_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

func language(t testing.TB, code string) terms.Language {
	t.Helper()
	l, ok := terms.ParseLanguage(code)
	if !ok {
		t.Fatalf("no language %s", code)
	}
	return l
}

func TestWordsHaveTheStemsOfTheirLanguage(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	for _, c := range []struct{ code, text, same string }{
		{"ar", "المكتبات", "مكتبة"},
		{"da", "og bøgerne", "bøger"},
		{"de", "die Häuser und das Häuschen", "hauser und Häuschen"},
		{"en", "the houses", "house"},
		{"es", "las bibliotecas", "biblioteca"},
		{"fi", "kirjastoissa", "kirjasto"},
		{"fr", "les intégrations et systèmes", "intégration système"},
		{"hu", "a könyvtárak", "könyvtár"},
		{"it", "delle biblioteche", "biblioteca"},
		{"nl", "de bomen", "boom"},
		{"no", "og bøkene", "bøker"},
		{"pt", "as bibliotecas", "biblioteca"},
		{"ro", "bibliotecilor", "bibliotecile"},
		{"ru", "в библиотеках", "библиотека"},
		{"sv", "och biblioteken", "bibliotek"},
		{"tr", "ve KİTAPLAR", "kitap"},
		{"ru", "сервер running", "серверы runs"},
	} {
		r := a.In(language(t, c.code))
		got, want := r.Analyze(c.text), r.Analyze(c.same)
		if len(got.Terms) == 0 || !slices.Equal(got.Terms, want.Terms) {
			t.Errorf("%s: %q is %q, %q is %q", c.code, c.text, got.Terms, c.same, want.Terms)
		}
	}
	if n := len(terms.Languages()); n < 16 {
		t.Errorf("%d languages", n)
	}
	if _, ok := terms.ParseLanguage("tlh"); ok {
		t.Error("Klingon")
	}
}

// articles are the first sentences of the Universal Declaration of Human Rights.
var articles = map[string]string{
	"ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا وعليهم أن يعامل بعضهم بعضًا بروح الإخاء.",
	"da": "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og samvittighed, og de bør handle mod hverandre i en broderskabets ånd.",
	"de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
	"en": "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should act towards one another in a spirit of brotherhood.",
	"es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
	"fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu järki ja omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
	"fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
	"hu": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel és lelkiismerettel bírván, egymással szemben testvéri szellemben kell hogy viseltessenek.",
	"it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza.",
	"nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand en geweten, en behoren zich jegens elkander in een geest van broederschap te gedragen.",
	"no": "Alle mennesker er født frie og med samme menneskeverd og menneskerettigheter. De er utstyrt med fornuft og samvittighet og bør handle mot hverandre i brorskapets ånd.",
	"pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de consciência, devem agir uns para com os outros em espírito de fraternidade.",
	"ro": "Toate ființele umane se nasc libere și egale în demnitate și în drepturi. Ele sunt înzestrate cu rațiune și conștiință și trebuie să se comporte unele față de altele în spiritul fraternității.",
	"ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и должны поступать в отношении друг друга в духе братства.",
	"sv": "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med förnuft och samvete och bör handla gentemot varandra i en anda av broderskap.",
	"tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
}

func TestALanguageIsToldByTheText(t *testing.T) {
	t.Parallel()
	all := terms.Languages()
	for _, l := range all {
		text, ok := articles[l.String()]
		if !ok {
			t.Errorf("no text in %s", l)
			continue
		}
		few := slices.Compact([]terms.Language{terms.English, language(t, "de"), l})
		if got := terms.Detect(text, few); got != l {
			t.Errorf("among %v, %s is taken for %s", few, l, got)
		}
		// Among all, Danish and Norwegian are hard to tell apart in two sentences.
		if got := terms.Detect(text, all); got != l && l.String() != "no" && l.String() != "da" {
			t.Errorf("%s is taken for %s", l, got)
		}
	}
	for _, text := range []string{"", "x := 5", "日本語", strings.Repeat("é", 3000)} {
		if got := terms.Detect(text, all[:4]); got != terms.English {
			t.Errorf("%q is taken for %s", text[:min(len(text), 20)], got)
		}
	}
	if got := terms.Detect(articles["fr"], []terms.Language{language(t, "de")}); got.String() != "de" {
		t.Errorf("of one language, it is %s", got)
	}
}

func TestAQuestionIsReadInEveryLanguageOfTheTexts(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	en, de := terms.English, language(t, "de")
	for _, c := range []struct {
		text  string
		among []terms.Language
		want  string
	}{
		{"running the houses", []terms.Language{en}, "run hous"},
		{"running the houses", []terms.Language{en, de}, "run|running hous"},
		{"was sind die Häuser", []terms.Language{en, de}, "hauser|haus"},
		{"die", []terms.Language{en, de}, ""},
		{"parseConfig", []terms.Language{en, de}, "pars config parseconfig"},
		{"", []terms.Language{en, de}, ""},
	} {
		var got []string
		for _, v := range a.Variants(c.text, c.among) {
			got = append(got, strings.Join(v, "|"))
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%q among %v is %q, want %q", c.text, c.among, g, c.want)
		}
	}
}

func TestStopWordsAreNumberedOverAllLanguages(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	de, nl := a.In(language(t, "de")).Analyze("und die"), a.In(language(t, "nl")).Analyze("de die")
	if len(de.Stops) != 2 || len(nl.Stops) != 2 || de.Stops[1].Number != nl.Stops[1].Number || de.Stops[0].Number == nl.Stops[0].Number {
		t.Errorf("%+v, %+v", de, nl)
	}
	for _, l := range terms.Languages() {
		for _, s := range a.In(l).Analyze(articles[l.String()]).Stops {
			if s.Number >= terms.NumStops {
				t.Errorf("%s: number %d", l, s.Number)
			}
		}
	}
}

func FuzzLanguages(f *testing.F) {
	for code, text := range articles {
		for i, l := range terms.Languages() {
			if l.String() == code {
				f.Add(uint8(i), text) //nolint:gosec // G115: few
			}
		}
	}
	var a terms.Analyzer
	all := terms.Languages()
	f.Fuzz(func(t *testing.T, n uint8, s string) {
		l := all[int(n)%len(all)]
		got := a.In(l).Analyze(s)
		for _, w := range got.Terms {
			if w == "" || utf8.ValidString(s) && !utf8.ValidString(w) {
				t.Fatalf("term %q of %q", w, s)
			}
		}
		if again := a.In(l).Analyze(s); !slices.Equal(again.Terms, got.Terms) {
			t.Fatal("not repeatable")
		}
		a.Variants(s, all)
		terms.Detect(s, all)
		a.In(l).Spans(s, func(string) bool { return true }, 5)
	})
}
