"""What the sample data promises; `problems` returns every promise that a data set breaks, as sentences."""

import re
from itertools import combinations

from compose import MAX_OVERLAP, PER_SCENARIO, overlap, size
from phrases import BY_LANGUAGE

MINIMUM = {"paragraphs": 300, "dialogues": 600, "pairs": 400, "prompts": 200}  # each for the training split alone
MAX_PAIR_GAP = 0.15
MAX_MEAN_GAP = 0.05

CAPITALS = frozenset("I B1 B12 C D X COPD IBS Lyme Monday Friday".split())  # names of days, vitamins, diseases
CHINESE_LATIN = frozenset()


def texts_of(kind, row):
    """Every text of a row that a model reads."""
    if kind == "paragraphs":
        return [row]
    if kind == "multi":
        return [turn["value"] for turn in row["conversations"]]
    return [text for text in row.values() if text]


def question_of(kind, row):
    if kind == "single":
        return row["input"] or row["instruction"]
    if kind == "multi":
        return row["conversations"][0]["value"]
    return row["question"] if kind == "pairs" else row["prompt"]


def answers_of(kind, row):
    if kind == "single":
        return [row["output"]]
    return [turn["value"] for turn in row["conversations"] if turn["from"] == "gpt"]


def urgent_net(scenario, question):
    """The safety net that the answer must hold, or None if the complaint is not urgent."""
    for position in scenario.urgent:
        pattern = re.sub(r"\\{(?:age|n)\\}", r"\\d+", re.escape(scenario.say[position]))
        if re.search(pattern.replace(r"a\ \d+", r"an?\ \d+"), question):
            return scenario.warn[scenario.net[position]]
    return None


def relative_gap(row, measure):
    """Signed: positive if the chosen response is the longer one."""
    chosen, rejected = measure(row["response_chosen"]), measure(row["response_rejected"])
    return (chosen - rejected) / max(chosen, rejected)


def balance(pairs):
    """Of (lang, row): mean signed gaps of characters and words, share with chosen longer, largest gap."""
    chars = [relative_gap(row, len) for _, row in pairs]
    words = [relative_gap(row, lambda text, lang=lang: size(text, lang)) for lang, row in pairs]
    return {
        "chars": sum(chars) / len(chars),
        "words": sum(words) / len(words),
        "chosen longer": sum(gap > 0 for gap in chars) / len(chars),
        "largest": max(abs(gap) for gap in chars + words),
    }


def stray_names(text, lang, names):
    """Capitalised words inside a sentence (English) or Latin words and companies (Chinese) that nobody allowed."""
    if lang == "zh":
        found = [word for word in re.findall(r"[A-Za-z][A-Za-z0-9]*", text) if word not in CHINESE_LATIN]
        return found + re.findall(r".{0,4}(?:公司|集团|药业|牌)", text)
    inside = re.findall(r"(?<![.!?:] )(?<!^)(?<![\"'(])\b([A-Z][A-Za-z0-9]*)", text)
    return [word for word in inside if word not in CAPITALS and word not in names]


def problems(data):
    """`data`: list of (scenario, {kind: rows}) as the composer made them."""
    found = []
    names = {name for phrases in BY_LANGUAGE.values() for group in phrases.names.values() for name in group}

    ids = [scenario.name for scenario, _ in data]
    found += [f"scenario {name} is defined twice" for name in sorted({n for n in ids if ids.count(n) > 1})]
    for lang, least in (("en", 90), ("zh", 25)):
        count = sum(scenario.lang == lang for scenario, _ in data)
        if count < least:
            found.append(f"{count} scenarios in {lang}, fewer than {least}")
    heldout = {scenario.name: scenario.heldout for scenario, _ in data}
    for name in heldout:
        if name.startswith("zh-") and heldout.get(name[3:], heldout[name]) != heldout[name]:
            found.append(f"{name}: its English counterpart is in the other split")
    share = sum(scenario.heldout for scenario, _ in data) / len(data)
    if not 0.10 <= share <= 0.14:
        found.append(f"held-out share is {share:.3f}, not about 0.12")
    chinese = sum(scenario.lang == "zh" for scenario, _ in data) / len(data)
    if not 0.17 <= chinese <= 0.25:
        found.append(f"Chinese share is {chinese:.3f}, not about 0.2")

    train = [rows for scenario, rows in data if not scenario.heldout]
    counts = {kind: sum(len(rows[kind]) for rows in train) for kind in PER_SCENARIO}
    counts["dialogues"] = counts["single"] + counts["multi"]
    found += [f"{counts[kind]} {kind}, fewer than {least}" for kind, least in MINIMUM.items() if counts[kind] < least]
    if counts["multi"] * 3 < counts["dialogues"]:
        found.append("fewer than a third of the dialogues have several turns")

    questions, whole, sentences = {}, {}, {}
    for scenario, rows in data:
        found += list(_scenario_problems(scenario, rows, names))
        for kind in rows:
            for row in rows[kind]:
                texts = texts_of(kind, row)
                if (key := (kind, "\n".join(texts))) in whole:
                    found.append(f"{scenario.name}: a row of {kind} is also in {whole[key]}")
                whole[key] = scenario.name
                if kind != "paragraphs":
                    question = question_of(kind, row)
                    if question in questions:
                        found.append(f"{scenario.name}: a question is also in {questions[question]}")
                    questions[question] = scenario.name
        for question, direct in scenario.ask:
            if direct in sentences:
                found.append(f"{scenario.name}: the answer to {question!r} is also in {sentences[direct]}")
            sentences[direct] = scenario.name
        for slot in ("say", "facts", "advice", "medicine", "warn", "follow", "bad", "case"):
            value = getattr(scenario, slot)
            for sentence in (value,) if isinstance(value, str) else value:
                if sentence in sentences:
                    found.append(f"{scenario.name}: a sentence of {slot} is also in {sentences[sentence]}")
                sentences[sentence] = scenario.name

    figures = balance([(scenario.lang, row) for scenario, rows in data for row in rows["pairs"]])
    for measure in ("chars", "words"):
        if abs(figures[measure]) > MAX_MEAN_GAP:
            found.append(f"mean length gap in {measure} is {figures[measure]:.3f}")
    if not 0.45 <= figures["chosen longer"] <= 0.55:
        found.append(f"chosen is longer in {figures['chosen longer']:.3f} of the pairs, not in half")
    if figures["largest"] > MAX_PAIR_GAP:
        found.append(f"a pair differs in length by {figures['largest']:.3f}")
    return found


def _scenario_problems(scenario, rows, names):
    lang, phrases = scenario.lang, BY_LANGUAGE[scenario.lang]

    def outside(text, limits):
        return not limits[0] <= size(text, lang) <= limits[1]

    for kind, count in PER_SCENARIO.items():
        if len(rows[kind]) != count:
            yield f"{scenario.name}: {len(rows[kind])} rows of {kind}, not {count}"
        for row in rows[kind]:
            for text in texts_of(kind, row):
                if "canary" in text.lower() or "{" in text or "  " in text or text != text.strip() or "\n" in text:
                    yield f"{scenario.name}: a row of {kind} holds a canary, a slot left open or stray white space"
                if stray := stray_names(text, lang, names):
                    yield f"{scenario.name}: {stray} look like names, in {kind}"
                if lang == "en" and not text.isascii():
                    yield f"{scenario.name}: a row of {kind} has characters beyond ASCII"
            if kind != "paragraphs" and size(question_of(kind, row), lang) > phrases.prompt_max:
                yield f"{scenario.name}: a question of {kind} is longer than {phrases.prompt_max}"
    for text in rows["paragraphs"]:
        if outside(text, phrases.paragraph):
            yield f"{scenario.name}: a paragraph has {size(text, lang)}, not {phrases.paragraph}"
    answers = [(kind, text) for kind in ("single", "multi") for row in rows[kind] for text in answers_of(kind, row)]
    for _, text in answers:
        if outside(text, phrases.answer):
            yield f"{scenario.name}: an answer has {size(text, lang)}, not {phrases.answer}: {text}"
    for row in rows["pairs"]:
        chosen, rejected = row["response_chosen"], row["response_rejected"]
        if outside(chosen, phrases.response) or outside(rejected, phrases.response):
            yield f"{scenario.name}: a response is outside {phrases.response}"
        if not chosen.endswith(scenario.warn):
            yield f"{scenario.name}: a chosen response does not end with a safety net"
        if not rejected.endswith(scenario.bad + phrases.tails):
            yield f"{scenario.name}: a rejected response does not end dismissively"
        if any(warning in rejected for warning in scenario.warn) or any(bad in chosen for bad in scenario.bad):
            yield f"{scenario.name}: the contrast of a pair is mixed up"
    if len(scenario.net) != len(scenario.say):
        yield f"{scenario.name}: every complaint needs one position in `net`"
    for kind in ("single", "multi", "pairs"):
        for row in rows[kind]:
            if (net := urgent_net(scenario, question_of(kind, row))) is None:
                continue
            if kind == "pairs" and not row["response_chosen"].endswith(net):
                yield f"{scenario.name}: an urgent complaint has a chosen response without its safety net"
            if kind != "pairs" and not answers_of(kind, row)[0].startswith(net):
                yield f"{scenario.name}: the answer to an urgent complaint does not begin with its safety net"
    slots = (scenario.facts, scenario.advice, scenario.medicine, scenario.warn, scenario.follow)
    for row in rows["multi"]:
        said = " ".join(answers_of("multi", row))
        if any(said.count(sentence) > 1 for slot in slots for sentence in slot):
            yield f"{scenario.name}: a dialogue repeats a sentence"
    for one, other in combinations([text for _, text in answers], 2):
        if overlap(one, other, lang) > MAX_OVERLAP:
            yield f"{scenario.name}: two answers are nearly the same: {one} | {other}"
    for one, other in combinations(rows["paragraphs"], 2):
        if overlap(one, other, lang) > MAX_OVERLAP:
            yield f"{scenario.name}: two paragraphs are nearly the same"
    for one, other in combinations([row["response_chosen"] for row in rows["pairs"]], 2):
        if one == other:
            yield f"{scenario.name}: a chosen response is used twice"
