"""Composes rows from a scenario's sentences.

Always holds: the result depends on the seed, the scenario and the language only, never on the other scenarios, so a
new scenario changes no row of an old one. The only source of chance is `random.Random.random`, whose sequence for a
seed is the same in every Python version.
"""

import random
import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Question:
    text: str
    direct: str  # the answer to a scenario's own question, or ""
    slot: str  # for a general question: what kind of sentence answers it
    net: str  # the safety net that fits the complaint
    urgent: bool


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

    def fit(self, sentences, limits, spare_slots, besides=()):
        """Adds spare sentences up to the lower limit, and drops from the middle down to the upper one."""
        low, high = limits
        sentences = list(sentences)
        for slot in spare_slots * 2:
            if self.size(sentences) >= low:
                break
            sentences += self.take(slot, 1, besides=[*sentences, *besides])
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
        """Every complaint with every own question, then with general ones; no combination twice, in shuffled order."""
        s = self.scenario
        general = iter(self.dice.shuffled(self.phrases.asks))
        own = [(say, ask, direct, None) for say in range(len(s.say)) for ask, direct in s.ask]
        wanted = sum(PER_SCENARIO[kind] for kind in ("single", "multi", "pairs", "prompts"))
        rest = [(number % len(s.say), *next(general)) for number in range(wanted - len(own))]
        drawn = own + [(say, ask, "", slot) for say, ask, slot in rest]
        return iter([self._question(*parts) for parts in self.dice.shuffled(drawn)])

    def _question(self, say, ask, direct, slot):
        s = self.scenario
        greeting = self.dice.pick(self.phrases.greetings) if self.dice.random() < 0.12 else ""
        text = self.join([greeting + self.fill(s.say[say]), ask])
        return Question(text, direct, slot, s.warn[s.net[say]], say in s.urgent)

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

    # What follows the direct answer to an own question, or makes up the answer to a general one. "net" is a safety net;
    # about half of the answers have none, so that there is something left to learn from preferences.
    AFTER_DIRECT = (("advice", "advice"), ("advice", "net"), ("facts", "advice"), ("facts", "net"),
                    ("advice", "medicine"))
    GENERAL = {
        "warn": (("facts", "net", "advice"), ("net", "advice", "advice"), ("net", "facts", "advice")),
        "advice": (("advice", "advice", "net"), ("facts", "advice", "advice"), ("advice", "medicine", "advice"),
                   ("advice", "advice", "follow")),
    }

    def distinct(self, compose, later=""):
        """Composes until the answer is unlike all earlier ones of the scenario and repeats nothing said `later`."""
        for _ in range(60):
            sentences = compose()
            text = self.join(sentences)
            known = any(overlap(text, other, self.lang) > MAX_OVERLAP for other in self.answers)
            if not known and not any(sentence in later for sentence in sentences):
                self.answers.append(text)
                return text
        raise ValueError(f"{self.scenario.name}: no new answer, such as: {text}")

    def answer(self, question, later=""):
        return self.distinct(lambda: self._answer(question), later)

    def _answer(self, question):
        if question.urgent:
            sentences = [question.net, question.direct or self.scenario.advice[0]]
            skeleton = self.dice.pick((("advice", "advice"), ("advice", "facts"), ("facts", "advice"), ("advice",)))
        elif question.direct:
            sentences, skeleton = [question.direct], self.dice.pick(self.AFTER_DIRECT)
        else:
            sentences = [self.dice.pick(self.phrases.openers)] if self.dice.random() < 0.25 else []
            skeleton = self.dice.pick(self.GENERAL[question.slot])
            if skeleton[0] == "advice" and self.dice.random() < 0.5:  # the first piece of advice matters most
                sentences, skeleton = [*sentences, self.scenario.advice[0]], skeleton[1:]
        for slot in skeleton:
            if slot == "net":
                fitting = question.slot == "warn" or self.dice.random() < 0.8
                sentences.append(question.net if fitting else self.take("warn", 1)[0])
            else:
                sentences += self.take(slot, 1, besides=sentences)
        return self.fit(sentences, self.phrases.answer, ("advice", "facts"))

    def follow_up(self, slot, spare, besides):
        return self.distinct(lambda: self.fit(self.take(slot, 2, besides), self.phrases.answer, spare, besides))

    def single(self):
        rows = []
        for number in range(PER_SCENARIO["single"]):
            question = next(self.questions)
            output = self.answer(question)
            if number == 0:
                instruction = self.dice.pick(self.phrases.instructions)
                rows.append({"instruction": instruction, "input": question.text, "output": output})
            else:
                rows.append({"instruction": question.text, "input": "", "output": output})
        return rows

    def multi(self):
        phrases, talk = self.phrases, self.scenario.talk

        def turn(asks, slot, spare):  # leaves the safety net and the first advice to the opening answer
            return lambda net: (self.dice.pick(asks), self.follow_up(slot, spare, [net, self.scenario.advice[0]]))

        warn = turn(phrases.ask_warn, "warn", ("warn", "facts"))
        medicine = turn(phrases.ask_medicine, "medicine", ("advice", "facts"))
        follow = turn(phrases.ask_follow, "follow", ("warn", "facts"))
        plans = ([lambda _: talk[0]], [lambda _: talk[1], warn] if len(talk) > 1 else [warn], [medicine, follow])
        rows = []
        for plan in plans:
            question = next(self.questions)
            later = [compose(question.net) for compose in plan]
            opening = self.answer(question, self.join(text for _, text in later))
            turns = [(question.text, opening), *later]
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
        rejected_all = self._measured(self.dice.shuffled(self._rejected())[:400])
        rows = []
        for number in range(PER_SCENARIO["pairs"]):
            question = next(self.questions)
            chosen_all = self._measured(self.dice.shuffled(self._chosen(question))[:50])
            sign = 1 if (number % 2 == 0) == longer_first else -1
            short = number in (0, 3)
            best = None
            for chosen, rejected in product(chosen_all, rejected_all):
                gap = self._gap(chosen, rejected) * sign
                if not 0 < gap <= MAX_GAP or set(chosen[0]) & set(rejected[0]) or chosen[0] in taken:
                    continue
                sentences = chosen[0] + rejected[0]
                cost = sum(used.get(sentence, 0) ** 2 for sentence in sentences) + self.dice.random()
                cost += 2 * ((len(chosen[0]) == 2) != short) + 1.5 * (chosen[0][-1] != question.net)
                if best is None or cost < best[0]:
                    best = (cost, chosen[0], rejected[0])
            if best is None:
                raise ValueError(f"{self.scenario.name}: no pair of like length with sign {sign}")
            _, chosen, rejected = best
            taken.add(chosen)
            for sentence in chosen + rejected:
                used[sentence] = used.get(sentence, 0) + 1
            rows.append({
                "question": question.text,
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

    def _chosen(self, question):
        """Bodies that answer the question, each with a safety net; with the fitting one if the complaint is urgent."""
        s = self.scenario
        if question.direct:
            bodies = [(question.direct,)] + [(question.direct, more) for more in s.advice + s.facts]
        elif question.urgent:
            bodies = [s.advice[:1]] + [(s.advice[0], more) for more in s.advice[1:] + s.facts]
        else:
            bodies = [(one,) for one in s.advice]
            bodies += list(combinations(s.advice, 2)) + list(product(s.facts, s.advice))
        nets = (question.net,) if question.urgent else s.warn
        return self._within([(*body, net) for body, net in product(bodies, nets)])

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
        return [{"prompt": next(self.questions).text} for _ in range(PER_SCENARIO["prompts"])]

    def everything(self):
        """All rows of the scenario by kind; one fixed order, since all kinds draw from the same dice."""
        return {kind: getattr(self, kind)() for kind in ("paragraphs", "single", "multi", "pairs", "prompts")}
