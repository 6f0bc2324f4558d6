"""Composes rows from a scenario's sentences.

Always holds: the result depends on the seed, the scenario and the language only, never on the other scenarios, so a
new scenario changes no row of an old one. The only source of chance is `random.Random.random`, whose sequence for a
seed is the same in every Python version.
"""

import random
import re
from itertools import combinations, product

from phrases import BY_LANGUAGE

SEED = 20
PER_SCENARIO = {"paragraphs": 4, "single": 4, "multi": 3, "pairs": 5, "prompts": 3}
MAX_OVERLAP = 0.6  # of two answers of one scenario
MAX_GAP = 0.12  # of one pair: |chosen - rejected| over the longer one, in words (or characters) and in characters


class Dice:
    def __init__(self, *seed):
        self.random = random.Random("/".join(str(part) for part in (SEED, *seed))).random

    def pick(self, options):
        return options[int(self.random() * len(options))]

    def between(self, low, high):
        return low + int(self.random() * (high - low + 1))

    def shuffled(self, items):
        """Every order is equally likely (Fisher and Yates)."""
        items = list(items)
        for last in range(len(items) - 1, 0, -1):
            other = int(self.random() * (last + 1))
            items[last], items[other] = items[other], items[last]
        return items


def size(text, lang):
    """Words in English, characters in Chinese."""
    return len(text.split()) if lang == "en" else len(text)


def trigrams(text, lang):
    parts = text.lower().split() if lang == "en" else list(text)
    return {tuple(parts[i : i + 3]) for i in range(len(parts) - 2)}


def overlap(one, other, lang):
    """Jaccard index of the trigrams (of words or characters)."""
    a, b = trigrams(one, lang), trigrams(other, lang)
    return len(a & b) / max(1, len(a | b))


def with_article(text):
    """`a 8-year-old` to `an 8-year-old`."""
    return re.sub(r"\b([Aa]) (?=(?:8\d?|11|18)-)", r"\1n ", text)


def rotating(items, dice):
    """Endless: a shuffled pass over `items`, then another, so that every sentence is used before one is used again."""
    items = tuple(items)
    while True:
        yield from dice.shuffled(items)


class Composer:
    def __init__(self, scenario):
        self.scenario = scenario
        self.lang = scenario.lang
        self.phrases = BY_LANGUAGE[scenario.lang]
        self.dice = Dice(scenario.name)
        self.slots = {
            slot: rotating(getattr(scenario, slot), self.dice)
            for slot in ("facts", "advice", "medicine", "warn", "follow")
        }
        self.questions = self._questions()
        self.answers = [answer for _, answer in scenario.talk]

    # Sentences and their lengths

    def join(self, sentences):
        return self.phrases.joiner.join(sentences)

    def size(self, sentences):
        return size(self.join(sentences), self.lang)

    def take(self, slot, count, besides=()):
        """`count` sentences of a slot that are not in `besides`, in rotation."""
        taken = []
        while len(taken) < min(count, len(set(getattr(self.scenario, slot)) - set(besides))):
            sentence = next(self.slots[slot])
            if sentence not in taken and sentence not in besides:
                taken.append(sentence)
        return taken

    def fit(self, sentences, limits, spare_slots):
        """Adds spare sentences up to the lower limit, and drops from the middle down to the upper one."""
        low, high = limits
        sentences = list(sentences)
        for slot in spare_slots * 2:
            if self.size(sentences) >= low:
                break
            sentences += self.take(slot, 1, besides=sentences)
        while self.size(sentences) > high and len(sentences) > 2:
            sentences.pop(-2)
        if not low <= self.size(sentences) <= high:
            raise ValueError(f"{self.scenario.name}: {self.size(sentences)} is outside {limits}: {sentences}")
        return sentences

    def fill(self, text):
        filled = text.format(age=self.dice.between(*self.scenario.ages), n=self.dice.between(*self.scenario.n))
        return with_article(filled)

    # Questions

    def _questions(self):
        """Complaint and question, every complaint equally often, no combination twice."""
        asks = self.dice.shuffled(self.scenario.ask + tuple(self.dice.shuffled(self.phrases.asks)[:4]))
        says = self.dice.shuffled(self.scenario.say)
        wanted = sum(PER_SCENARIO[kind] for kind in ("single", "multi", "pairs", "prompts"))
        seen, result, turn = set(), [], 0
        while len(result) < wanted:
            say = says[turn % len(says)]
            ask = asks[(turn + turn // len(says)) % len(asks)]
            greeting = self.dice.pick(self.phrases.greetings) if self.dice.random() < 0.12 else ""
            turn += 1
            if (say, ask) in seen:
                if turn > 500:
                    raise ValueError(f"{self.scenario.name}: too few complaints or questions")
                continue
            seen.add((say, ask))
            result.append((greeting + self.fill(say), ask))
        return iter(result)

    def question(self):
        say, ask = next(self.questions)
        return self.join([say, ask])

    # Pre-training paragraphs

    def paragraphs(self):
        lead = lambda options: self.dice.pick(options).format(topic=self.scenario.topic)
        limits = self.phrases.paragraph
        names = self.phrases.names[self.scenario.sex or self.dice.pick("fm")]
        case = with_article(
            self.scenario.case.format(name=self.dice.pick(names), age=self.dice.between(*self.scenario.ages), n=3)
        )
        spare = ("facts", "advice", "follow")
        warn = self.take("warn", 3)
        return [
            self.join(self.fit([lead(self.phrases.lead_facts), *self.take("facts", 3)], limits, ("follow", "advice"))),
            self.join(self.fit([lead(self.phrases.lead_advice), *self.take("advice", 4)], limits, spare)),
            self.join(self.fit([lead(self.phrases.lead_warn), *self.take("medicine", 1), *warn[:2]], limits,
                               ("medicine", "follow", "advice"))),
            self.join(self.fit([case, self.dice.pick(self.phrases.lead_case), *self.take("facts", 1),
                                *self.take("advice", 1), warn[2]], limits, ("advice", "follow"))),
        ]

    # Dialogues

    SKELETONS = (
        ("facts", "advice", "warn"),
        ("advice", "advice", "warn"),
        ("warn", "advice", "advice"),
        ("advice", "medicine", "warn"),
        ("facts", "advice", "advice"),
        ("warn", "facts", "advice"),
        ("advice", "advice", "follow"),
    )

    OPENINGS = (("facts", "advice", "advice"), ("advice", "advice", "facts"), ("facts", "advice", "warn"))

    def distinct(self, compose):
        """Composes until the answer is unlike all earlier ones of the scenario."""
        for _ in range(40):
            text = compose()
            if all(overlap(text, other, self.lang) <= MAX_OVERLAP for other in self.answers):
                self.answers.append(text)
                return text
        raise ValueError(f"{self.scenario.name}: no new answer, such as: {text}")

    def answer(self, *skeletons):
        return self.distinct(lambda: self._answer(self.dice.pick(skeletons)))

    def _answer(self, skeleton):
        sentences = [self.dice.pick(self.phrases.openers)] if self.dice.random() < 0.2 else []
        for slot in skeleton:
            sentences += self.take(slot, 1, besides=sentences)
        return self.join(self.fit(sentences, self.phrases.answer, ("advice", "facts")))

    def follow_up(self, slot, spare):
        return self.distinct(lambda: self.join(self.fit(self.take(slot, 2), self.phrases.answer, spare)))

    def single(self):
        rows = []
        for number, skeleton in enumerate(self.dice.shuffled(self.SKELETONS)[: PER_SCENARIO["single"]]):
            question = self.question()
            output = self.answer(skeleton)
            if number == 0:
                rows.append({"instruction": self.dice.pick(self.phrases.instructions), "input": question, "output": output})
            else:
                rows.append({"instruction": question, "input": "", "output": output})
        return rows

    def multi(self):
        phrases, talk = self.phrases, self.scenario.talk
        warn = lambda: (self.dice.pick(phrases.ask_warn), self.follow_up("warn", ("warn", "facts")))
        medicine = lambda: (self.dice.pick(phrases.ask_medicine), self.follow_up("medicine", ("advice", "facts")))
        follow = lambda: (self.dice.pick(phrases.ask_follow), self.follow_up("follow", ("warn", "facts")))
        plans = ([lambda: talk[0]], [lambda: talk[1], warn] if len(talk) > 1 else [warn], [medicine, follow])
        rows = []
        for plan in plans:
            opening = self.answer(*self.OPENINGS)
            turns = [(self.question(), opening), *(turn() for turn in plan)]
            said = [{"from": who, "value": value} for turn in turns for who, value in zip(("human", "gpt"), turn)]
            rows.append({"conversations": said})
        return rows

    # Preferences

    def pairs(self):
        """Chosen ends with a safety net; rejected is dismissive, has none, and is as long.

        Over a scenario's pairs the sign of the length difference alternates, and so does the sign the next scenario
        starts with (by its name), so half of the chosen responses are the longer ones.
        """
        longer_first = Dice(self.scenario.name, "sign").random() < 0.5
        used, taken = {}, set()
        chosen_all = self._measured(self.dice.shuffled(self._chosen())[:80])
        rejected_all = self._measured(self.dice.shuffled(self._rejected())[:250])
        rows = []
        for number in range(PER_SCENARIO["pairs"]):
            sign = 1 if (number % 2 == 0) == longer_first else -1
            short = number in (0, 3)
            best = None
            for chosen, rejected in product(chosen_all, rejected_all):
                gap = self._gap(chosen, rejected) * sign
                if not 0 < gap <= MAX_GAP or set(chosen[0]) & set(rejected[0]) or chosen[0] in taken:
                    continue
                sentences = chosen[0] + rejected[0]
                cost = sum(used.get(sentence, 0) ** 2 for sentence in sentences) + gap
                if (len(chosen[0]) == 2) != short:
                    cost += 2
                if best is None or cost < best[0]:
                    best = (cost, chosen[0], rejected[0])
            if best is None:
                raise ValueError(f"{self.scenario.name}: no pair of like length with sign {sign}")
            _, chosen, rejected = best
            taken.add(chosen)
            for sentence in chosen + rejected:
                used[sentence] = used.get(sentence, 0) + 1
            rows.append({
                "question": self.question(),
                "response_chosen": self.join(chosen),
                "response_rejected": self.join(rejected),
            })
        return rows

    def _measured(self, candidates):
        """(sentences, characters, words)"""
        return [(one, len(self.join(one)), self.size(one)) for one in candidates]

    @staticmethod
    def _gap(chosen, rejected):
        """Signed relative gap in characters; 0 if words and characters disagree or the words differ too much."""
        chars, words = chosen[1] - rejected[1], chosen[2] - rejected[2]
        if chars * words <= 0 or abs(words) > MAX_GAP * max(chosen[2], rejected[2]):
            return 0
        return chars / max(chosen[1], rejected[1])

    def _within(self, candidates):
        low, high = self.phrases.response
        return [sentences for sentences in candidates if low <= self.size(sentences) <= high]

    def _chosen(self):
        s = self.scenario
        bodies = [(a,) for a in s.advice] + [(f,) for f in s.facts]
        bodies += list(combinations(s.advice, 2)) + list(product(s.facts, s.advice))
        return self._within([(*body, warn) for body, warn in product(bodies, s.warn)])

    def _rejected(self):
        s, p = self.scenario, self.phrases
        neutral = s.advice + s.facts
        candidates = list(product(s.bad, p.tails))
        candidates += list(product(p.heads, s.bad))
        candidates += list(product(p.heads, s.bad, p.tails))
        candidates += list(product(neutral, s.bad))
        candidates += list(product(neutral, p.tails))
        candidates += list(product(neutral, s.bad, p.tails))
        candidates += list(combinations(s.bad, 2))
        candidates += [(*two, tail) for two in combinations(s.bad, 2) for tail in p.tails]
        return self._within(candidates)

    # Prompts

    def prompts(self):
        return [{"prompt": self.question()} for _ in range(PER_SCENARIO["prompts"])]

    def everything(self):
        """All rows of the scenario by kind; one fixed order, since all kinds draw from the same dice."""
        return {kind: getattr(self, kind)() for kind in ("paragraphs", "single", "multi", "pairs", "prompts")}
