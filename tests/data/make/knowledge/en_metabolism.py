"""English scenarios: diabetes, thyroid, gout and kidney function."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "type2-diabetes-new-diagnosis", topic="Newly found type 2 diabetes", ages=(40, 70),
        case="{name}, {age}, was told last week that a blood test shows type 2 diabetes.",
        say=(
            "I was told {n} days ago that I have type 2 diabetes.",
            "I am {age} and my long-term sugar value came back too high.",
            "My father has just been diagnosed with diabetes and eats a lot of bread.",
            "I feel well, but my doctor says that I have diabetes.",
        ),
        ask=(
            ("What should change first?", "Start with water in place of sweet drinks, smaller portions and a daily walk."),
            ("Do I have to give up all sugar?", "No, but keep sweet things rare and small, and leave out sweet drinks."),
        ),
        net=(2, 0, 0, 2),
        facts=(
            "In type 2 diabetes the body responds poorly to insulin, so sugar stays in the blood.",
            "Early treatment protects eyes, kidneys, nerves, heart and feet.",
            "Losing some weight can bring blood sugar down markedly, above all in the first years.",
        ),
        advice=(
            "Fill half the plate with vegetables and choose whole grains in small portions.",
            "Replace sweet drinks and juice with water or unsweetened tea.",
            "Walk for half an hour on most days, also after meals.",
            "Book the eye check, foot check and urine test that belong to a new diagnosis.",
            "Join a diabetes education course if one is offered.",
        ),
        medicine=(
            "Take tablets such as metformin with food and as prescribed, also on good days.",
            "Ask which tablets can cause low sugar before driving or fasting.",
        ),
        warn=(
            "Call the clinic if sugar stays above 15 mmol/l or you lose weight fast.",
            "Get urgent help for vomiting, deep breathing, drowsiness or confusion.",
            "See a doctor soon about numb feet, wounds or blurred vision.",
        ),
        follow=(
            "The long-term sugar value is checked every three months until it is stable.",
        ),
        bad=(
            "Diabetes without symptoms is not a real illness.",
            "Eat what you like, since sugar has no influence.",
            "Eyes and kidneys never suffer from this.",
            "Tests are only for people on insulin.",
        ),
        talk=(
            ("May I still eat fruit?", "Yes, whole fruit is fine in moderate portions, about two or three a day. Prefer whole fruit to juice, because juice raises blood sugar quickly and does not fill you."),
            ("Can it go away?", "Some people reach normal values after losing weight, which is called remission. It needs continued checks, because the sugar can rise again if weight or habits change."),
        ),
    ),
    S(
        "metformin-upset-stomach", topic="Stomach upset from metformin", ages=(42, 74),
        case="{name}, {age}, has had loose stools since starting metformin.",
        say=(
            "I started metformin {n} days ago and have diarrhoea.",
            "I am {age} and metformin makes me feel sick.",
            "My wife wants to stop her metformin because of stomach cramps.",
            "My stomach rumbles all day since my metformin was increased.",
        ),
        ask=(
            ("Should metformin be stopped?", "Not without asking; taking it with food or a slow-release form often helps."),
            ("Does this side effect go away?", "Yes, in most people it settles within a few weeks."),
        ),
        net=(0, 1, 0, 0),
        facts=(
            "Nausea and loose stools are common in the first weeks of metformin and often pass.",
            "A slow increase of the dose makes stomach trouble less likely.",
            "Metformin lowers sugar without causing low values when taken alone.",
        ),
        advice=(
            "Take metformin during or right after a meal.",
            "Eat smaller, less fatty meals for a week or two.",
            "Drink enough while the stools are loose.",
            "Ask about a slow-release tablet, which is easier on the stomach.",
        ),
        medicine=(
            "Pause metformin while vomiting or unable to drink, and ask the clinic when to restart.",
            "Tell staff about metformin before a scan with contrast dye or an operation.",
        ),
        warn=(
            "Call the clinic if diarrhoea lasts beyond two weeks or sugar rises.",
            "Get urgent care for repeated vomiting, fast breathing or unusual drowsiness.",
            "See a doctor if weight drops or there is blood in the stool.",
        ),
        follow=(
            "Kidney function and vitamin B12 are checked from time to time during treatment.",
        ),
        bad=(
            "Stop every tablet at once and diabetes will vanish.",
            "Vomiting for days on metformin is to be expected.",
            "Side effects are invented by nervous people.",
            "Take it on an empty stomach and be brave.",
        ),
        talk=(
            ("Is the slow-release tablet just as good?", "Yes, it lowers blood sugar just as well and many people tolerate it better. It is swallowed whole, usually with the evening meal. Ask your doctor for a switch."),
        ),
    ),
    S(
        "diabetes-foot-care", topic="Foot care in diabetes", ages=(52, 82),
        case="{name}, {age}, has diabetes, numb toes and a blister from new shoes.",
        say=(
            "I have diabetes and found a blister on my toe.",
            "My mother, {age}, has diabetes and cannot feel her toes well.",
            "My heel has had a crack for {n} weeks; I am diabetic.",
            "I have diabetes and want to remove a corn myself.",
        ),
        ask=(
            ("How do I look after my feet?", "Look at them daily, keep the skin soft, and never walk barefoot."),
            ("Is a small sore a problem?", "Yes, in diabetes even a small sore needs care within a day."),
        ),
        net=(0, 0, 0, 0), urgent=(0,),
        facts=(
            "Diabetes can dull the feeling in the feet, so injuries go unnoticed.",
            "High sugar and poor circulation let small sores turn into deep ulcers.",
            "Daily checks and good shoes prevent most foot ulcers.",
        ),
        advice=(
            "Look at both feet every day, between the toes and on the soles, with a mirror.",
            "Wash with lukewarm water, dry well and use cream, but not between the toes.",
            "Feel inside the shoes for stones before putting them on.",
            "Never walk barefoot, also not at home or on the beach.",
            "Cover a small wound with a clean dry dressing and rest the foot.",
        ),
        medicine=(
            "Do not use corn plasters, because their acid can burn the skin.",
            "Do not warm cold feet with hot-water bottles, which can cause burns.",
        ),
        warn=(
            "Show any sore, blister or colour change to a foot clinic within a day.",
            "Get urgent care for spreading redness, pus, a bad smell or fever.",
            "Go to hospital at once if a toe turns black or the foot is cold and painful.",
        ),
        follow=(
            "Feeling and pulses in the feet should be examined at least once a year.",
        ),
        bad=(
            "A sore that does not hurt is not worth a glance.",
            "Corns in diabetes can be cut at home by anyone.",
            "Numb toes are part of growing older.",
            "Walk barefoot and the skin hardens.",
        ),
        talk=(
            ("Who should cut her nails?", "If she sees and feels well, she can cut straight across after a bath. With numbness, thick nails or poor sight, let a podiatrist do it, to avoid small cuts."),
        ),
    ),
    S(
        "type1-diabetes-sick-day", topic="Sick days in type 1 diabetes", ages=(15, 45),
        case="{name}, {age}, has type 1 diabetes and has been vomiting since the morning.",
        say=(
            "I have type 1 diabetes, a stomach bug and cannot eat.",
            "My daughter, {age}, has type 1 diabetes and a fever.",
            "I have type 1 diabetes and my sugar has been high for {n} hours.",
            "My type 1 diabetes is hard to control while I have the flu.",
        ),
        ask=(
            ("Is insulin needed without food?", "Yes, the long-acting insulin must never be stopped, even without any food."),
            ("How often should I test?", "Every two to four hours, day and night, with ketones as well."),
        ),
        net=(1, 0, 1, 1), urgent=(0,), n=(5, 9),
        facts=(
            "Illness raises blood sugar, so insulin is needed even without food.",
            "Without enough insulin the body makes ketones, which can become dangerous within hours.",
            "Vomiting in type 1 diabetes can be a sign of ketoacidosis.",
        ),
        advice=(
            "Keep taking the long-acting insulin, always.",
            "Test sugar every two to four hours, and ketones as well.",
            "Sip fluids every few minutes, sugar-free if the sugar is high.",
            "Use the written sick-day rules for extra doses.",
            "Ask someone to stay nearby until the illness has passed.",
        ),
        medicine=(
            "Check insulin for its expiry date and the pump or pen for blockage.",
            "Ask the diabetes team which other tablets to pause during vomiting.",
        ),
        warn=(
            "Call the diabetes team the same day if ketones are above 1.5.",
            "Go to hospital now for ketones above 3, repeated vomiting or drowsiness.",
            "Call emergency services for confusion, deep breathing or a person who cannot be woken.",
        ),
        follow=(
            "Go over the sick-day plan with the team at each yearly review.",
        ),
        bad=(
            "Without food there is no need for insulin.",
            "Ketones are of no importance at home.",
            "Vomiting brings the sugar down nicely.",
            "Put the meter away until you feel better.",
        ),
        talk=(
            ("What can I drink if I keep vomiting?", "Try one or two sips every five minutes. If even sips do not stay down, or ketones rise, you need treatment in hospital with a drip, so go without delay."),
        ),
    ),
    S(
        "low-sugar-on-insulin", topic="Low blood sugar on insulin", ages=(30, 76),
        case="{name}, {age}, uses insulin and felt shaky and sweaty before lunch.",
        say=(
            "I use insulin and was shaky and sweaty before lunch.",
            "My husband, {age}, had low sugar {n} times this week.",
            "I take insulin and woke at night with a pounding heart and damp sheets.",
            "I inject insulin and my meter showed 3.2 this afternoon.",
        ),
        ask=(
            ("How do I treat it correctly?", "Take 15 grams of fast sugar, test after fifteen minutes and repeat if still low."),
            ("How can I prevent the next one?", "Eat on time, check before exercise, and have the doses reviewed."),
        ),
        net=(1, 0, 0, 0), n=(2, 4),
        facts=(
            "Low sugar means a value below 4 mmol/l and needs treatment at once.",
            "Missed meals, exercise, alcohol and too much insulin are the usual causes.",
            "After several low values the warning signs can become weaker.",
        ),
        advice=(
            "Take 15 grams of fast sugar, such as a small glass of juice.",
            "Test again after fifteen minutes and repeat if still below 4.",
            "Eat a slice of bread afterwards if the next meal is far away.",
            "Carry glucose tablets, also beside the bed and in the car.",
            "Write down when it happened, with food, exercise and dose.",
        ),
        medicine=(
            "Keep the long-acting dose, but ask the team to review it after repeated lows.",
            "Make sure that a relative knows how to use a glucagon kit.",
        ),
        warn=(
            "Call the diabetes team after two lows in a week or any low at night.",
            "Call emergency services if the person is drowsy, has a fit or cannot swallow.",
            "Do not drive, and seek advice soon, if lows come without any warning.",
        ),
        follow=(
            "A glucose sensor with an alarm may be offered if lows keep coming back.",
        ),
        bad=(
            "Shaking is just hunger and of no interest.",
            "Drive on, because low sugar passes at the wheel.",
            "Low sugar at night never does any harm.",
            "Drowsiness with low sugar wears off by itself.",
        ),
        talk=(
            ("Is chocolate as good as juice?", "No, the fat in chocolate slows the sugar down. Juice, glucose tablets or ordinary sugary drinks act faster. Keep the chocolate for later, when your value is safe again."),
            ("When may I drive again?", "Stop, treat the low and wait at least 45 minutes after your sugar is back above 5, since the brain recovers slowly. Check before every drive and on long trips."),
        ),
    ),
    S(
        "underactive-thyroid-tablets", topic="Taking thyroid hormone correctly", ages=(28, 72),
        case="{name}, {age}, takes thyroid hormone with breakfast coffee and still feels tired.",
        say=(
            "I take thyroid tablets and am still tired after {n} weeks.",
            "I am {age} and take my thyroid tablet with my coffee.",
            "My sister forgets her thyroid tablets on weekends.",
            "I have an underactive thyroid and want to become pregnant.",
        ),
        ask=(
            ("How is it taken correctly?", "It should go down with plain water on an empty stomach, apart from coffee."),
            ("Does the dose need a change?", "A blood test can tell, about six weeks after the last change."),
        ),
        net=(0, 0, 0, 0), n=(3, 8),
        facts=(
            "Thyroid hormone is absorbed best on an empty stomach with plain water.",
            "Coffee, calcium, iron and some stomach tablets reduce how much is absorbed.",
            "Blood values need about six weeks to settle after a change of dose.",
        ),
        advice=(
            "Take the tablet half an hour before breakfast with a glass of water.",
            "Leave four hours between thyroid hormone and iron or calcium.",
            "Keep to the same time and the same brand if possible.",
            "Put the tablets beside the toothbrush as a reminder.",
        ),
        medicine=(
            "Do not take extra tablets for more energy, since too much strains heart and bones.",
            "Tell the doctor early when planning a pregnancy, as the dose often has to rise.",
        ),
        warn=(
            "Ask for a blood test if tiredness, cold or weight gain goes on.",
            "See a doctor promptly for a racing heart, tremor or chest pain on the tablets.",
            "Seek urgent help for confusion, unusual drowsiness or feeling very cold.",
        ),
        follow=(
            "Once the value is stable, one blood test a year is usually enough.",
        ),
        bad=(
            "Timing is irrelevant, so swallow it with anything.",
            "More tablets simply mean more energy.",
            "Stop the tablets as soon as you feel well.",
            "Blood tests for the thyroid are pure habit.",
        ),
        talk=(
            ("I missed one this morning, what now?", "Take it when you remember if that is the same day and your stomach is fairly empty. If it is already tomorrow, just take the usual dose and do not double it."),
        ),
    ),
    S(
        "gout-attack", topic="An acute attack of gout", ages=(44, 76),
        case="{name}, {age}, woke at night with a red and very painful big toe.",
        say=(
            "My big toe is red, hot and so painful that I cannot bear a sheet on it.",
            "I am {age} and had gout before; my foot has been swollen for {n} days.",
            "My father's toe flared up after a big dinner with beer.",
            "My gout came back although I take allopurinol.",
        ),
        ask=(
            ("What helps against gout now?", "Rest, cooling and a suitable anti-inflammatory medicine, started early."),
            ("Does the diet matter?", "Yes, less beer, spirits, sweet drinks and meat, and more water."),
        ),
        net=(0, 0, 0, 2), n=(2, 3),
        facts=(
            "Gout is caused by crystals of uric acid that inflame a joint.",
            "Attacks often begin at night and settle within one or two weeks.",
            "Alcohol, dehydration, water tablets and kidney disease make attacks more likely.",
        ),
        advice=(
            "Rest the joint, raise the foot and cool it for twenty minutes at a time.",
            "Drink plenty of water, unless fluids are limited.",
            "Avoid beer, spirits, sweet drinks and large portions of meat.",
            "Protect the toe from pressure with open shoes.",
        ),
        medicine=(
            "Go on with allopurinol during an attack if it is already taken; do not start it alone.",
            "Ask before using ibuprofen with kidney disease, stomach ulcers or blood thinners.",
        ),
        warn=(
            "See a doctor the same day for a first attack or strong pain.",
            "Get urgent care for a hot joint with fever or chills.",
            "Book a review if attacks come twice a year or more.",
        ),
        follow=(
            "Uric acid is measured some weeks after the attack and then treated to a target.",
        ),
        bad=(
            "A hot joint with fever is a sign of good healing.",
            "Beer flushes the crystals out, so drink up.",
            "March on the toe until it gives in.",
            "Gout never does any harm to a joint.",
        ),
        talk=(
            ("Do I need tablets for life?", "Many people with repeated attacks take a daily tablet that lowers uric acid for years. It prevents attacks and joint damage as long as it is taken, so discuss it after this attack."),
        ),
    ),
    S(
        "kidney-disease-painkillers", topic="Painkillers in chronic kidney disease", ages=(54, 82),
        case="{name}, {age}, has chronic kidney disease and takes ibuprofen for a sore knee.",
        say=(
            "I have weak kidneys and take ibuprofen for my knee.",
            "I am {age}, have kidney disease and back pain.",
            "My mother has chronic kidney disease and needs something for headaches.",
            "I have kidney disease and took anti-inflammatory tablets for {n} days.",
        ),
        ask=(
            ("Which painkiller is safe?", "Paracetamol is often the safer choice; let a pharmacist check the dose."),
            ("Can painkillers harm the kidneys?", "Yes, anti-inflammatory tablets can damage weak kidneys, even after a few days."),
        ),
        net=(0, 0, 2, 0),
        facts=(
            "Ibuprofen and similar tablets reduce blood flow to the kidneys.",
            "Kidney damage from painkillers often causes no symptoms at first.",
            "Blood pressure control protects the kidneys more than any diet pill.",
        ),
        advice=(
            "Avoid ibuprofen, diclofenac and naproxen, also those sold without prescription.",
            "Use heat, gentle exercise and supports for joint pain.",
            "Measure blood pressure regularly and keep salt low.",
            "Show the kidney diagnosis to every pharmacist.",
        ),
        medicine=(
            "Paracetamol in the usual dose is often the safer choice; confirm it with a pharmacist.",
            "Pause water tablets and some others on days of vomiting only as the clinic has advised.",
        ),
        warn=(
            "Ask the doctor for a blood test if such tablets were taken for days.",
            "Get urgent help for hardly any urine, swelling of the face or breathlessness.",
            "Call the clinic the same day for vomiting or diarrhoea with kidney disease.",
        ),
        follow=(
            "Kidney blood and urine tests are repeated every few months, depending on the stage.",
        ),
        bad=(
            "Tablets sold without prescription cannot hurt a kidney.",
            "Kidneys repair themselves whatever you swallow.",
            "Passing little urine is nothing to think about.",
            "Two kinds of painkiller together are no problem.",
        ),
        talk=(
            ("Is a painkiller gel allowed?", "Little of a gel enters the blood, so it may be an option on a small area for a short time. Ask your doctor or pharmacist first, as advanced kidney disease needs more care."),
        ),
    ),
]
