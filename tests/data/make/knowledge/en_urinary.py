"""English scenarios: bladder, kidneys and prostate."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "bladder-infection-woman", topic="Bladder infection in women", ages=(19, 45), sex="f",
        case="{name}, {age}, has burning when passing urine and goes every half hour.",
        say=(
            "It burns when I pass urine, and I go all the time.",
            "I am {age} and have my third bladder infection this year.",
            "I have had pressure in my bladder for {n} days.",
            "I am pregnant and it stings when I pee.",
        ),
        ask=(
            ("Are antibiotics needed?", "Often yes, although a mild one may clear with fluids in two days."),
            ("What can I do until I am seen?", "Drink enough, use warmth and simple pain relief, and keep a urine sample."),
        ),
        net=(0, 0, 0, 2), urgent=(3,), n=(2, 3),
        facts=(
            "Bladder infections are common in women, because the urethra is short.",
            "Mild infections sometimes clear in a few days with fluids and pain relief.",
            "An infection that climbs to the kidneys causes fever and back pain.",
        ),
        advice=(
            "Drink enough that the urine is pale, and empty the bladder fully.",
            "Put a warm pack on the lower belly.",
            "Pass urine soon after sex, and wipe from front to back.",
            "Keep a urine sample ready if the clinic asks for one.",
        ),
        medicine=(
            "Take the whole antibiotic course if one is prescribed.",
            "Do not use antibiotics left over from another illness or person.",
        ),
        warn=(
            "See a doctor if it is no better after two days.",
            "Get urgent care for fever, shivering, vomiting or pain in the side.",
            "Call the same day if you are pregnant or see blood in the urine.",
        ),
        follow=("After three infections in a year, prevention should be planned with a doctor.",),
        bad=(
            "Burning urine in pregnancy is perfectly normal.",
            "Drink nothing and the burning will stop.",
            "Fever and back pain have nothing to do with the bladder.",
            "Take any antibiotic you find at home.",
        ),
        talk=(
            ("Does cranberry juice cure it?", "It does not cure an infection. Cranberry products may help some women to have fewer of them. Water, pain relief and a proper assessment matter more once symptoms have started."),
        ),
    ),
    S(
        "urine-infection-older-man", topic="Urine infection in older men", ages=(66, 86), sex="m",
        case="{name}, {age}, passes urine often, feels hot and is not quite himself.",
        say=(
            "My father, {age}, has burning urine and seems confused.",
            "I am a man of {age}, and it burns when I pass water.",
            "My husband has had fever and cloudy urine for {n} days.",
            "My grandfather has a catheter and feels unwell.",
        ),
        ask=(
            ("Is it a urine infection?", "It may be, and in a man it always needs a medical check."),
            ("Can this wait until Monday?", "No, it should be looked at today."),
        ),
        net=(1, 0, 1, 0), urgent=(0,), n=(2, 3),
        facts=(
            "Urine infections in men are less common and always need a medical check.",
            "An enlarged prostate, stones or a catheter make infections more likely.",
            "Sudden confusion in an older person can be the first sign of an infection.",
        ),
        advice=(
            "Arrange to be seen today and bring a urine sample.",
            "Drink regularly unless fluids are limited.",
            "Note the temperature and when the symptoms began.",
            "Keep the catheter bag below the bladder and the tube free of kinks.",
            "Let someone stay with a person who is confused.",
        ),
        medicine=(
            "Finish the antibiotic course, which is usually longer for men.",
            "Tell the doctor about blood thinners and kidney disease before antibiotics.",
        ),
        warn=(
            "See a doctor the same day about burning urine in a man.",
            "Call emergency services for new confusion with fever, shivering or fast breathing.",
            "Get urgent care if no urine can be passed.",
        ),
        follow=("A check of the prostate and kidneys often follows after the infection.",),
        bad=(
            "Old men are often confused, so let him sleep.",
            "Being unable to pass urine settles overnight.",
            "Shivering only calls for a second blanket.",
            "Cloudy urine means nothing in older men.",
        ),
        talk=(
            ("Why is he suddenly confused?", "Infection, fever, dehydration or new tablets can disturb the brain of an older person within hours. It usually improves with treatment, but he needs a medical check today."),
        ),
    ),
    S(
        "kidney-stone-pain", topic="Kidney stones", ages=(27, 62), heldout=True,
        case="{name}, {age}, had waves of pain from the side to the groin last night.",
        say=(
            "I have waves of strong pain from my side to the groin.",
            "I am {age} and passed a kidney stone {n} days ago.",
            "My husband has a small kidney stone and was sent home.",
            "I had two kidney stones and want to avoid a third.",
        ),
        ask=(
            ("Will the stone pass alone?", "Small stones often do, within days to a few weeks."),
            ("What should I drink and eat?", "Plenty of water, less salt, and normal amounts of calcium with meals."),
        ),
        net=(1, 0, 0, 0),
        facts=(
            "Small stones often pass within days or weeks, while larger ones may need treatment.",
            "The pain comes in waves as the urine tube squeezes the stone.",
            "Drinking little and eating much salt favour new stones.",
        ),
        advice=(
            "Drink enough for two to two and a half litres of urine a day.",
            "Pass urine through a sieve and keep the stone for analysis.",
            "Cut down on salt and very large portions of meat.",
            "Eat normal amounts of calcium with meals.",
            "Walk about between attacks.",
        ),
        medicine=(
            "Use the pain relief that was prescribed; ask first if kidneys or stomach are weak.",
            "Avoid high doses of vitamin C, which can form stones.",
        ),
        warn=(
            "See a doctor if pain goes on or no stone has passed in two weeks.",
            "Go to hospital for fever, shivering, vomiting or no urine.",
            "Get urgent care for pain with a single kidney or in pregnancy.",
        ),
        follow=("A scan after some weeks confirms that the stone has gone.",),
        bad=(
            "Fever with a kidney stone is quite normal.",
            "Stop drinking and the pain will stop for good.",
            "A stone can never block a kidney.",
            "Strong men need no scan for this.",
        ),
        talk=(
            ("Is beer good for washing it out?", "No, alcohol dries the body out afterwards and does not move stones. Water spread over the day is better, with a glass before bed and one at night if you wake."),
        ),
    ),
    S(
        "overactive-bladder-urgency", topic="Overactive bladder", ages=(45, 78),
        case="{name}, {age}, has to hurry to the toilet and sometimes leaks on the way.",
        say=(
            "I have to run to the toilet all day and sometimes leak.",
            "I am {age} and get up {n} times a night to pass urine.",
            "My mother stays at home because she fears an accident.",
            "I cannot hold my urine when I put the key in the door.",
        ),
        ask=(
            ("Can this be trained?", "Yes, bladder training and pelvic floor exercise help many people within weeks."),
            ("Would drinking less help?", "Not too little, but less in the evening and with little caffeine."),
        ),
        net=(0, 0, 0, 0), n=(3, 5),
        facts=(
            "In an overactive bladder the muscle squeezes before the bladder is full.",
            "Caffeine, fizzy drinks and drinking late make urgency worse.",
            "Bladder training and pelvic floor exercise help many people within weeks.",
        ),
        advice=(
            "Keep a bladder diary for three days with drinks, times and leaks.",
            "Wait a few minutes longer each week before going to the toilet.",
            "Squeeze the pelvic floor when the urge comes, and breathe calmly.",
            "Drink about one and a half litres, less in the evening and little coffee.",
            "Prevent constipation, which presses on the bladder.",
        ),
        medicine=(
            "Bladder tablets can cause dry mouth and confusion in older people, so review them.",
            "Ask whether water tablets can be taken earlier in the day.",
        ),
        warn=(
            "See a doctor about leaking that limits daily life or is new.",
            "Get checked soon for blood in the urine, pain or fever.",
            "Seek emergency care for numbness between the legs or sudden loss of control.",
        ),
        follow=("Training needs six to twelve weeks before its effect can be judged.",),
        bad=(
            "Leaking is the natural fate of every woman.",
            "Stop drinking altogether and the matter is solved.",
            "A pink colour of the urine can be ignored.",
            "Exercises for the pelvic floor are nonsense.",
        ),
        talk=(
            ("How do I find the pelvic floor?", "Imagine that you are stopping wind or urine, and lift gently without holding your breath. Hold for a few seconds, relax fully, and repeat ten times. A physiotherapist can check."),
        ),
    ),
    S(
        "enlarged-prostate-night", topic="Enlarged prostate and broken nights", ages=(58, 80), sex="m",
        case="{name}, {age}, gets up four times a night and has a weak stream.",
        say=(
            "I am {age}, and passing urine breaks my sleep {n} times a night.",
            "My stream is weak, and I have to wait before it starts.",
            "My father has a large prostate and took a cold remedy.",
            "My bladder never feels empty.",
        ),
        ask=(
            ("Is it the prostate?", "That is the most common reason in men of this age, and a check can show it."),
            ("Does this mean cancer?", "Usually not, but the doctor can examine the prostate and discuss a test."),
        ),
        net=(0, 0, 1, 0), n=(3, 5),
        facts=(
            "A growing prostate presses on the urethra and is common after 60.",
            "An enlarged prostate is not cancer, although both can occur in the same man.",
            "Cold remedies and some allergy tablets can block the flow completely.",
        ),
        advice=(
            "Drink less in the two hours before bed, and avoid evening alcohol.",
            "Take time on the toilet, wait a moment and try again.",
            "Keep a diary of drinks and visits for three days.",
            "Treat constipation, since a full bowel makes things worse.",
        ),
        medicine=(
            "Avoid decongestants and sedating antihistamines; ask a pharmacist for alternatives.",
            "Prostate tablets may cause dizziness on standing, so get up slowly.",
        ),
        warn=(
            "See a doctor about a weak stream or nights that are broken by urine.",
            "Go to hospital at once if no urine comes despite a painful urge.",
            "Get checked soon for blood in the urine, bone pain or weight loss.",
        ),
        follow=("The doctor may examine the prostate, test urine and discuss a blood test with its pros and cons.",),
        bad=(
            "All men go through this, so keep quiet.",
            "Blood in the urine of men is meaningless.",
            "A cold remedy is fine for any prostate.",
            "Hold it in, and the bladder grows stronger.",
        ),
        talk=(
            ("Does saw palmetto help?", "Good studies show little or no benefit. It is usually harmless, but it may affect bleeding, so mention it to your doctor. Medicines with proven effect are available if symptoms bother you."),
        ),
    ),
]
