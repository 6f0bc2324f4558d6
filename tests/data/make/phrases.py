"""What does not depend on a scenario: questions, lead-ins, names, dismissive phrases and length limits per language."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    joiner: str  # between sentences
    asks: tuple  # (question that fits any complaint, slot of the sentence that answers it)
    greetings: tuple  # before some complaints
    openers: tuple  # before some answers
    instructions: tuple  # for rows whose question stands in the `input` field
    heads: tuple  # dismissive openings of rejected responses
    tails: tuple  # dismissive endings of rejected responses
    ask_warn: tuple
    ask_medicine: tuple
    ask_follow: tuple
    lead_facts: tuple
    lead_advice: tuple
    lead_warn: tuple
    lead_case: tuple
    names: dict
    # Inclusive limits: words in English, characters in Chinese.
    answer: tuple
    paragraph: tuple
    response: tuple
    prompt_max: int


ENGLISH = Phrases(
    joiner=" ",
    asks=(
        ("What should I do?", "advice"),
        ("What do you advise?", "advice"),
        ("Is this serious?", "warn"),
        ("How worried should I be?", "warn"),
        ("What is the best thing to do now?", "advice"),
        ("Can you help?", "advice"),
        ("What would you suggest?", "advice"),
        ("Is a visit to the doctor needed?", "warn"),
        ("What matters most here?", "advice"),
        ("How should I handle this?", "advice"),
    ),
    greetings=("Hello. ", "Good morning. ", "A question, please. ", "Hi, I need some advice. "),
    openers=(
        "That is a sensible question.",
        "It is good that you ask.",
        "I am sorry to hear this.",
        "Thank you for telling me.",
    ),
    instructions=(
        "Answer the patient's question in plain language.",
        "Give short, cautious advice to this person.",
        "Reply as a careful medical assistant.",
        "Explain simply what this person should do.",
    ),
    heads=(
        "This is nothing at all.",
        "Do not worry about it.",
        "I am completely sure this is harmless.",
        "That is perfectly fine.",
        "You are worrying far too much.",
        "Honestly, just relax.",
        "There is nothing to discuss here.",
        "Everyone has this now and then.",
    ),
    tails=(
        "There is no need to see anyone.",
        "It always passes by itself.",
        "You can safely forget about it.",
        "Nothing bad can ever come of this.",
        "That is all, and it cannot go wrong.",
        "A visit would only waste everyone's time.",
        "No check is ever needed for something like this.",
        "I guarantee that everything will be fine.",
        "Whatever happens next, just ignore it and carry on as before.",
        "Doctors make far too much of this, so stay away from them.",
        "You will certainly be well by tomorrow, so stop thinking about it.",
        "Do nothing, tell nobody, and it will be gone before you notice.",
        "Nothing about this will ever get worse, so there is nothing to watch for.",
        "People worry for no reason, because things like this never matter.",
        "You have my word that this is harmless, now and in the future.",
        "Even if it becomes much worse, you can simply wait it out at home.",
        "There is not a single situation in which this would need attention.",
        "Save yourself the trip, since a clinic could not tell you anything new.",
        "Carry on exactly as you are, and do not waste another minute on it.",
        "This never gets worse.",
        "Trust me, you are fine.",
    ),
    ask_warn=(
        "When should I get help quickly?",
        "Which signs would be alarming?",
        "What would make this urgent?",
        "When would you want a doctor to look at this?",
    ),
    ask_medicine=(
        "Is there anything I should know about medicines?",
        "What about tablets or other treatments?",
        "Do I have to be careful with medicines?",
        "Any advice on medicines?",
    ),
    ask_follow=(
        "And what happens after that?",
        "How do we follow this up?",
        "What should I expect in the next weeks?",
        "How will I know that it is going well?",
    ),
    lead_facts=("{topic}: the background.", "{topic} in brief.", "{topic}: what is known.", "{topic}: why it happens."),
    lead_advice=(
        "{topic}: what helps.",
        "{topic}: practical steps.",
        "{topic}: advice for daily life.",
        "{topic}: first steps.",
    ),
    lead_warn=(
        "{topic}: safety first.",
        "{topic}: medicines and warning signs.",
        "{topic}: cautions.",
        "{topic}: when to be careful.",
    ),
    lead_case=(
        "At the visit the clinician explained the following.",
        "The nurse gave this advice.",
        "The doctor took time to explain the plan.",
        "The team agreed on a simple plan.",
    ),
    names={
        "f": ("Amara", "Beth", "Chloe", "Dana", "Elena", "Farah", "Grace", "Hana", "Ines", "Joyce", "Kavita", "Lucia",
              "Mona", "Nadia", "Olga", "Priya", "Rosa", "Sara", "Tessa", "Wanda"),
        "m": ("Adam", "Bilal", "Carlos", "David", "Emil", "Felix", "George", "Hassan", "Ivan", "Jonas", "Kofi", "Liam",
              "Marco", "Nikhil", "Omar", "Peter", "Ravi", "Samuel", "Tomas", "Victor"),
    },
    answer=(25, 60),
    paragraph=(40, 90),
    response=(20, 45),
    prompt_max=40,
)

CHINESE = Phrases(
    joiner="",
    asks=(
        ("该怎么办？", "advice"),
        ("您有什么建议？", "advice"),
        ("这严重吗？", "warn"),
        ("需要看医生吗？", "warn"),
        ("现在最应该做什么？", "advice"),
        ("要紧吗？", "warn"),
        ("平时该注意什么？", "advice"),
        ("请问怎么处理比较好？", "advice"),
        ("最需要留意的是什么？", "advice"),
        ("我需要担心吗？", "warn"),
    ),
    greetings=("您好，", "你好，", "请教一下，", "医生好，"),
    openers=("这个问题问得好。", "谢谢您告诉我这些。", "听起来确实不舒服。", "您问得很及时。"),
    instructions=(
        "请用通俗的话回答患者的问题。",
        "请给出简短、谨慎的建议。",
        "请以细心的医疗助手身份回答。",
        "请简单说明应该怎么做。",
    ),
    heads=(
        "这根本不算什么。",
        "完全不用担心。",
        "我敢肯定没有问题。",
        "您想得太多了。",
        "放心，这很正常。",
        "人人都会这样。",
    ),
    tails=(
        "根本不用看医生。",
        "过几天自己一定会好。",
        "不用管它就行。",
        "绝对不会出什么事。",
        "去检查纯属浪费时间和金钱。",
        "以后怎样都不必理会。",
        "我保证什么事都没有。",
        "医生总爱小题大做，别去找他们。",
        "照常生活就好，再难受也不必理会它。",
        "以后越来越重也没关系，等着就好。",
        "这种小事不值得花一分钟去想。",
        "我见得多了，没有一个需要治的。",
        "不用观察，也不用告诉任何人。",
        "从来不会变严重。",
    ),
    ask_warn=("什么情况要尽快就医？", "哪些情况说明比较危险？", "出现什么症状要马上去医院？"),
    ask_medicine=("用药方面要注意什么？", "吃药有什么要小心的吗？", "药物上有什么提醒？"),
    ask_follow=("之后怎么复查？", "接下来会怎么样？", "怎么判断有没有好转？"),
    lead_facts=("{topic}：基本知识。", "{topic}简介。", "{topic}：为什么会这样。"),
    lead_advice=("{topic}：日常做法。", "{topic}：怎样处理。", "{topic}：实用建议。"),
    lead_warn=("{topic}：注意事项。", "{topic}：用药与警示信号。", "{topic}：安全提醒。"),
    lead_case=("医生这样解释。", "护士给出以下建议。", "门诊时医生说明了处理办法。"),
    names={
        "f": ("王女士", "李女士", "陈女士", "赵女士", "周女士", "林女士", "何女士", "郭女士", "罗女士", "宋女士"),
        "m": ("张先生", "刘先生", "杨先生", "黄先生", "吴先生", "徐先生", "孙先生", "马先生", "朱先生", "胡先生"),
        "child": ("小宇", "小雨", "乐乐", "安安", "童童", "豆豆", "小溪", "朵朵"),
    },
    answer=(30, 90),
    paragraph=(40, 90),
    response=(20, 50),
    prompt_max=45,
)

BY_LANGUAGE = {"en": ENGLISH, "zh": CHINESE}
