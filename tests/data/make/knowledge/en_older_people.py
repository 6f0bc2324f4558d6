"""English scenarios: older people and many medicines."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "dementia-carer-night", topic="Restless nights in dementia", ages=(70, 90),
        case="{name}, {age}, has dementia and walks through the house at night.",
        say=(
            "My mother, {age}, has dementia and wanders at night.",
            "My husband has dementia and accuses me of stealing.",
            "My father with dementia has become very confused in {n} days.",
            "I care for my wife with dementia, and I am exhausted.",
        ),
        ask=(
            ("How do I calm things down?", "Speak calmly, check for pain or thirst, and turn to something pleasant."),
            ("Is there a tablet for it?", "Tablets are a last resort, as they raise the risk of falls."),
        ),
        net=(0, 0, 0, 2), urgent=(2,), n=(2, 4),
        facts=(
            "In dementia the sense of day and night is easily lost.",
            "Pain, infection, constipation or new tablets can cause sudden restlessness.",
            "Arguing about false beliefs increases fear.",
        ),
        advice=(
            "Give daylight, activity and a walk every day, and keep naps short.",
            "Speak slowly, stay calm and turn to another topic.",
            "Put a night light on the way to the toilet and secure the stairs.",
            "Look for pain, thirst or a full bladder.",
            "Arrange respite care so that the carer can sleep.",
        ),
        medicine=(
            "Sedatives raise the risk of falls and stroke, so they are a last resort.",
            "Ask for a review of all tablets, above all those that cause confusion.",
        ),
        warn=(
            "See a doctor the same day if confusion is suddenly much worse.",
            "Call emergency services after a fall with injury, or for someone hard to wake.",
            "Ask for help this week if you as a carer cannot go on.",
        ),
        follow=("A dementia nurse can visit and plan support at home.",),
        bad=(
            "There is nothing that anyone can do at night.",
            "Sudden confusion is only dementia.",
            "Carers do not need any sleep.",
            "Shout louder until she understands.",
        ),
        talk=(("She says I steal her purse, what do I say?", "Do not argue. Say that you see she is upset and look for the purse together. Keep a spare one, and turn to something pleasant once it has been found."),),
    ),
    S(
        "fall-older-adult", topic="After a fall in old age", ages=(70, 90),
        case="{name}, {age}, slipped in the kitchen and has been afraid to walk since.",
        say=(
            "I am {age} and fell in the kitchen {n} days ago.",
            "My mother fell and takes a blood thinner.",
            "My father has fallen twice since winter.",
            "My grandmother fell and cannot put weight on her leg.",
        ),
        ask=(
            ("Is a check needed?", "Yes, after a fall a check is sensible, above all with blood thinners or pain."),
            ("How do we prevent the next fall?", "Train balance, clear the floor, improve the light and review tablets."),
        ),
        net=(2, 0, 2, 1), urgent=(1, 3), n=(2, 5),
        facts=(
            "One fall doubles the chance of another one.",
            "Blood thinners can cause bleeding in the head even after a light knock.",
            "Fear of falling leads to less movement and weaker muscles.",
        ),
        advice=(
            "Check for pain, wounds and confusion before getting up.",
            "If nothing hurts, rise in steps by way of the knees and a chair.",
            "Remove rugs and cables, and fit rails and good light.",
            "Wear firm shoes and keep glasses clean.",
            "Train balance and leg strength, for example with a physiotherapist.",
        ),
        medicine=(
            "Ask for a review of sleeping tablets, blood pressure tablets and sedatives.",
            "Do not hide a fall from the doctor when taking blood thinners.",
        ),
        warn=(
            "Get medical help the same day after a head injury with blood thinners.",
            "Call emergency services for hip pain, drowsiness, a fit or weakness.",
            "See a doctor within days after any fall without a clear reason.",
        ),
        follow=("A check of eyes, feet, blood pressure and home lowers the risk of falls.",),
        bad=(
            "Old people fall, and that is that.",
            "A knock with blood thinners is no problem.",
            "Sit in the armchair for the rest of life.",
            "If she cannot stand, let her lie till tomorrow.",
        ),
        talk=(("Is an alarm button useful?", "Yes, a button worn on the wrist or neck brings help fast, especially for people living alone. Test it monthly and wear it in the bathroom, where many falls happen."),),
    ),
    S(
        "many-medicines-review", topic="Taking many medicines", ages=(66, 88),
        case="{name}, {age}, takes eleven tablets from three doctors and feels dizzy.",
        say=(
            "I take {n} different tablets a day and lose track.",
            "My father, {age}, gets tablets from three doctors.",
            "My mother feels sleepy since a new tablet was added.",
            "I am {age} and came home from hospital with new tablets.",
        ),
        ask=(
            ("Are they all needed?", "Perhaps not all of them, so ask for a review."),
            ("How do I keep order?", "One list, one pharmacy and a weekly pill box."),
        ),
        net=(0, 0, 0, 0), n=(8, 12),
        facts=(
            "The more tablets someone takes, the more likely are interactions and side effects.",
            "Kidneys clear many medicines more slowly in old age.",
            "Some tablets are started for a short time and then never stopped.",
        ),
        advice=(
            "Keep one up-to-date list with dose, time and reason.",
            "Bring all packets, also herbal ones, to the review.",
            "Use one pharmacy and a weekly pill box.",
            "Ask for every tablet what it is for and for how long.",
        ),
        medicine=(
            "Do not stop tablets on your own, because some must be reduced slowly.",
            "Check grapefruit, herbal and cold remedies with the pharmacist.",
        ),
        warn=(
            "Ask for a medicine review if there is dizziness, sleepiness or falls.",
            "Call emergency services for collapse, trouble breathing or a large overdose.",
            "Call a doctor the same day for a rash, bleeding or new confusion.",
        ),
        follow=("A yearly review, and one after each hospital stay, keeps the list short.",),
        bad=(
            "More tablets always mean more health.",
            "All tablets can be stopped on the same day.",
            "Confusion in old people never comes from tablets.",
            "Lists are for people with no memory.",
        ),
        talk=(("Can I cut tablets in half?", "Only if the pharmacist agrees. Slow-release and coated tablets must stay whole, because otherwise too much is released at once. Ask about liquids if swallowing is hard."),),
    ),
    S(
        "antibiotic-course", topic="Taking antibiotics", ages=(18, 70),
        case="{name}, {age}, feels better on the third day of an antibiotic and wants to stop.",
        say=(
            "I feel better after {n} days of antibiotics.",
            "I am {age} and have loose stools from my antibiotic.",
            "My wife forgot two doses of her antibiotic.",
            "My neighbour offered me her leftover antibiotics.",
        ),
        ask=(
            ("Can it be stopped now?", "Ask the prescriber first, because an early stop can let the infection return."),
            ("Is alcohol allowed?", "It is better avoided, and with some antibiotics it is dangerous."),
        ),
        net=(0, 2, 0, 0), n=(2, 4),
        facts=(
            "Antibiotics act on bacteria and not on viruses such as colds or flu.",
            "Loose stools are common, because antibiotics also affect helpful gut bacteria.",
            "Needless use makes bacteria resistant and later infections harder to treat.",
        ),
        advice=(
            "Take each dose at regular times, as the label says.",
            "Ask the prescriber before stopping early.",
            "Return leftovers to the pharmacy and never share them.",
            "Drink enough, and eat plain food if the stools are loose.",
        ),
        medicine=(
            "Some antibiotics must not be taken with milk or iron; read the leaflet.",
            "With certain antibiotics alcohol causes severe reactions; ask the pharmacist.",
        ),
        warn=(
            "Call the doctor if you are no better after two or three days.",
            "Call emergency services for swelling of the face, wheeze or collapse after a dose.",
            "Get help the same day for bloody diarrhoea or a blistering rash.",
        ),
        follow=("Have true allergies tested and noted, as many are only side effects.",),
        bad=(
            "Leftover antibiotics from friends are just right.",
            "Antibiotics cure every cold.",
            "Bloody diarrhoea shows that the drug works.",
            "Doses may be skipped at will.",
        ),
        talk=(("I missed one dose, what now?", "Take it as soon as you remember, unless the next one is nearly due. Then continue as usual. Do not double the dose, and set an alarm for the rest of the course."),),
    ),
    S(
        "paracetamol-safe-dose", topic="Safe use of paracetamol", ages=(18, 78),
        case="{name}, {age}, took a cold remedy and extra paracetamol on the same day.",
        say=(
            "I took paracetamol and a cold powder together.",
            "I am {age}, weigh 45 kilograms and need paracetamol.",
            "My toothache made me take {n} tablets of paracetamol since morning.",
            "My husband drinks a lot and takes paracetamol daily.",
        ),
        ask=(
            ("How much is safe?", "Most adults may take up to one gram, four times a day, with gaps of four hours."),
            ("Can it hurt the liver?", "Yes, too much can destroy the liver without early symptoms."),
        ),
        net=(0, 0, 1, 1), urgent=(2,), n=(5, 7),
        facts=(
            "Paracetamol is safe in the right dose, but an overdose can destroy the liver.",
            "Many cold remedies contain paracetamol, so double doses happen easily.",
            "Liver damage shows only after a day or two, while early treatment prevents it.",
        ),
        advice=(
            "Read the labels of all products and take only one with paracetamol.",
            "Leave at least four hours between doses, with at most four doses a day.",
            "Write down the time of each dose.",
            "Ask a pharmacist for a lower limit with low weight, liver disease or alcohol.",
        ),
        medicine=(
            "Adults usually take 500 milligrams to one gram a dose, up to four grams a day.",
            "People under 50 kilograms need less; ask before taking it regularly.",
        ),
        warn=(
            "See a doctor if you need it for more than three days.",
            "Go to hospital at once after too many tablets, even if you feel well.",
            "Call emergency services if an overdose was taken on purpose.",
        ),
        follow=("Pain that keeps returning needs a cause to be found, not more tablets.",),
        bad=(
            "Paracetamol is harmless in any amount.",
            "If you feel well after an overdose, all is well.",
            "Mix as many cold remedies as you like.",
            "The liver grows back overnight.",
        ),
        talk=(("I took two tablets too many, what now?", "Call a poison centre or go to hospital now, and take the packets along. You may feel well for a day although the liver is at risk, and early treatment works best."),),
    ),
    S(
        "ibuprofen-stomach-protection", topic="Ibuprofen and the stomach", ages=(40, 80),
        case="{name}, {age}, takes ibuprofen daily for a sore hip and has stomach pain.",
        say=(
            "I take ibuprofen every day and my stomach hurts.",
            "I am {age}, take a blood thinner and want ibuprofen for my hip.",
            "My husband had an ulcer years ago and needs a painkiller.",
            "I have used ibuprofen for {n} weeks without a break.",
        ),
        ask=(
            ("Is ibuprofen safe in this case?", "That depends on stomach, heart, kidneys and other tablets, so ask first."),
            ("Is stomach protection needed?", "With age, earlier ulcers or blood thinners, often yes."),
        ),
        net=(2, 0, 0, 0),
        facts=(
            "Ibuprofen reduces the protective layer of the stomach and can cause ulcers.",
            "The risk rises with age, blood thinners, steroids and earlier ulcers.",
            "Ibuprofen may also raise blood pressure and harm weak kidneys or hearts.",
        ),
        advice=(
            "Use the lowest dose for the shortest time, with food.",
            "Try a gel, heat, exercise or paracetamol first.",
            "Tell the pharmacist about all illnesses and tablets.",
            "Do not smoke or drink much alcohol while taking it.",
        ),
        medicine=(
            "Never combine two anti-inflammatory painkillers.",
            "If it is needed regularly, a doctor may add a stomach-protecting tablet.",
        ),
        warn=(
            "See a doctor if you need it on more than ten days a month.",
            "Call emergency services for vomiting blood, black stools or collapse.",
            "Stop it and get advice the same day for stomach pain or swelling.",
        ),
        follow=("Blood pressure and kidney values should be checked during long use.",),
        bad=(
            "Ulcers come from worry and never from tablets.",
            "Black stools are from spinach.",
            "Take it with blood thinners without a thought.",
            "Take it on an empty stomach for as long as you like.",
        ),
        talk=(("Is a gel safer?", "Yes, far less reaches the blood, so stomach and kidneys are spared. It works best on hands and knees. Do not combine it with tablets of the same kind."),),
    ),
]
