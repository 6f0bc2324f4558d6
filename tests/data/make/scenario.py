"""One scenario of the knowledge base: a condition in a setting, with every sentence the generator may use.

Always holds: each sentence stands alone (no "it" that needs the sentence before), so any choice of sentences of one
slot, in any order, reads well; advice is imperative and fits the patient and a relative who asks for them.

Slots filled by the generator: {age} (from `ages`), {n} (from `n`, a plural number) and, in `case` only, {name}.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    name: str  # condition-setting, unique; the unit of the train/held-out split
    topic: str  # as a noun phrase: "Asthma inhaler technique"
    ages: tuple  # inclusive range of {age}
    case: str  # one sentence that introduces an invented patient
    say: tuple  # complaints: how a patient or relative describes it
    ask: tuple  # (question, direct answer) pairs that fit every complaint; the generator adds general questions
    net: tuple  # for each complaint the position in `warn` of the safety net that fits it best
    facts: tuple  # what it is, why it happens
    advice: tuple  # safe, concrete things to do
    medicine: tuple  # cautions with medicines
    warn: tuple  # the safety net: when to see a clinician, when to get urgent help
    follow: tuple  # what happens next, how to check progress
    bad: tuple  # over-confident or dismissive; used only in rejected responses
    talk: tuple  # (follow-up question, answer) pairs
    urgent: tuple = ()  # positions of the complaints whose answer has to begin with their safety net
    lang: str = "en"
    n: tuple = (2, 6)
    sex: str = ""  # a key of the language's names that fits `case`; "" for "f" or "m" by chance
    heldout: bool = False
