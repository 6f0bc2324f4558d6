"""English scenarios: skin."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "eczema-child", topic="Eczema in children", ages=(2, 9), heldout=True,
        case="{name}, {age}, scratches the elbows and knees until they bleed.",
        say=(
            "My {age}-year-old scratches the insides of the elbows all night.",
            "My daughter's eczema has flared for {n} days.",
            "My son has dry, red skin, and I fear steroid creams.",
            "My child's eczema is weeping and has yellow crusts.",
        ),
        ask=(
            ("Which cream should we use?", "A thick moisturiser every day, and a prescribed steroid cream on red areas."),
            ("Are steroid creams safe?", "Yes, when strength, place and time are right."),
        ),
        net=(0, 0, 0, 2), urgent=(3,),
        facts=(
            "Eczema is a weak skin barrier that lets water out and irritants in.",
            "Moisturiser every day is the base of treatment, also when the skin looks well.",
            "Steroid creams are safe when strength, place and length of use are right.",
        ),
        advice=(
            "Apply a thick moisturiser at least twice a day and after bathing.",
            "Bathe briefly in lukewarm water without soap and pat dry.",
            "Keep nails short and choose cotton clothing.",
            "Use the prescribed steroid cream once a day on red areas only.",
            "Wash new clothes before wearing and avoid scented products.",
        ),
        medicine=(
            "Use mild creams on the face and ask before using strong ones.",
            "Greasy creams can catch fire, so keep away from flames.",
        ),
        warn=(
            "See a doctor if sleep is poor or creams do not help in two weeks.",
            "Get same-day care for painful blisters, fever or fast-spreading redness.",
            "Have yellow crusts or weeping skin checked within a day.",
        ),
        follow=("After a flare, a cream on two days a week may prevent the next one.",),
        bad=(
            "Scratching hardens the skin, so let her go on.",
            "Crusts and fever are part of normal skin.",
            "Steroid creams are poison in any amount.",
            "Strong soap is all that eczema needs.",
        ),
        talk=(("Should we stop giving milk?", "Not without advice. Food is seldom the main cause, and leaving out milk can harm growth. If flares follow a food within hours, ask the doctor about testing."),),
    ),
    S(
        "acne-teen", topic="Acne in teenagers", ages=(13, 19),
        case="{name}, {age}, has spots on the forehead and avoids friends.",
        say=(
            "I am {age} and have spots all over my forehead.",
            "My son has painful lumps on his back.",
            "I have used an acne cream for {n} weeks and see no change.",
            "My daughter squeezes her spots and feels ugly.",
        ),
        ask=(
            ("What really works?", "A gel used every evening on the whole area, with patience for two months."),
            ("Is it because of chocolate?", "Not mainly; hormones and clogged pores matter far more."),
        ),
        net=(0, 0, 0, 1),
        facts=(
            "Acne arises when pores clog and become inflamed under the influence of hormones.",
            "Treatments need six to eight weeks before they show an effect.",
            "Dirt does not cause acne, and hard scrubbing makes it worse.",
        ),
        advice=(
            "Wash twice a day with a mild cleanser and lukewarm water.",
            "Apply benzoyl peroxide or a similar gel thinly to the whole area each evening.",
            "Choose oil-free creams and make-up.",
            "Do not squeeze, to avoid scars.",
            "Use sunscreen, since many gels make skin sensitive.",
        ),
        medicine=(
            "Some acne tablets must never be used in pregnancy; discuss contraception first.",
            "Benzoyl peroxide bleaches towels and can dry the skin, so start slowly.",
        ),
        warn=(
            "See a doctor for painful lumps, scars or no effect after eight weeks.",
            "Get help soon if spots cause low mood, and at once for thoughts of self-harm.",
            "Have acne with irregular periods and more hair checked.",
        ),
        follow=("Take a photo every month, because slow progress is easy to miss.",),
        bad=(
            "Squeeze each spot until it is empty.",
            "Feeling low about spots is of no importance.",
            "Hard scrubbing is all that skin needs.",
            "Scars always vanish on their own.",
        ),
        talk=(("Does chocolate cause it?", "The link is weak. Very sugary food may play a small part in some people. A regular gel and patience do more for the skin than a strict diet."),),
    ),
    S(
        "shingles-rash", topic="Shingles", ages=(54, 82),
        case="{name}, {age}, has a band of painful blisters around one side of the chest.",
        say=(
            "I have a painful band of blisters on one side of my chest.",
            "I am {age}, and a rash appeared {n} days ago where my skin burned.",
            "My father has shingles near his eye.",
            "My husband has shingles, and our daughter is pregnant.",
        ),
        ask=(
            ("Is shingles catching?", "People who never had chickenpox can catch it from the blisters."),
            ("Is treatment needed?", "Antiviral tablets help most when started within three days."),
        ),
        net=(0, 0, 1, 0), urgent=(2,), n=(2, 3),
        facts=(
            "Shingles is the chickenpox virus waking up in a nerve.",
            "The rash follows a band on one side and heals in two to four weeks.",
            "Antiviral tablets work best within three days of the rash.",
        ),
        advice=(
            "Keep the rash clean, dry and covered with a loose dressing.",
            "Wear soft cotton and use cool compresses.",
            "Stay away from pregnant women, newborns and people with weak immunity.",
            "Wash hands after touching the rash, and do not share towels.",
        ),
        medicine=(
            "Start antiviral tablets quickly if they are prescribed, and finish them.",
            "Ask about nerve pain treatment if ordinary painkillers fail.",
        ),
        warn=(
            "See a doctor within three days of the rash, sooner if over 50.",
            "Get urgent eye care for blisters on the nose, forehead or near an eye.",
            "Go to hospital for confusion, a weak face or a widespread rash.",
        ),
        follow=("Pain beyond three months is a nerve pain that has its own treatment.",),
        bad=(
            "Blisters beside the eye are only skin.",
            "Hug the baby, since shingles is not catching.",
            "Wait a month before thinking of tablets.",
            "A weak face goes with any rash.",
        ),
        talk=(("Can I get the vaccine later?", "Yes, vaccination is recommended for many people over 50, also after shingles. Wait until the rash has healed and ask your doctor about the right time."),),
    ),
    S(
        "athletes-foot", topic="Athlete's foot", ages=(17, 60),
        case="{name}, {age}, has itchy, peeling skin between the toes after weeks at the pool.",
        say=(
            "The skin between my toes itches and peels.",
            "I am {age} and swim a lot; my feet smell and itch.",
            "My husband's athlete's foot has come back {n} times.",
            "My foot is itchy, and I have diabetes.",
        ),
        ask=(
            ("Which cream helps?", "An antifungal cream from the pharmacy, used long enough."),
            ("Is the pool still allowed?", "Yes, but wear sandals and dry your feet well."),
        ),
        net=(0, 0, 0, 2), urgent=(3,), n=(2, 4),
        facts=(
            "Athlete's foot is a fungal infection that likes warm, damp skin.",
            "It spreads on wet floors and by shared towels.",
            "Small cracks can let bacteria in and cause cellulitis.",
        ),
        advice=(
            "Dry well between the toes after every wash.",
            "Use an antifungal cream as the packet says, and one week longer than needed.",
            "Change socks daily and let shoes dry for a day.",
            "Wear sandals in showers and at the pool.",
        ),
        medicine=(
            "Ask a pharmacist for the right cream during pregnancy or for children.",
            "Do not use steroid cream alone on a fungal rash.",
        ),
        warn=(
            "See a clinician if it is no better after four weeks of cream.",
            "Get same-day care for spreading redness, swelling, pus or fever.",
            "Show it early to a foot clinic if you have diabetes.",
        ),
        follow=("Thick yellow nails may be infected too, and need a longer treatment.",),
        bad=(
            "Walk barefoot at the pool and share the joy.",
            "Stop the cream as soon as the itch is gone.",
            "Redness up the leg is from the sun.",
            "Diabetic feet can heal without a look.",
        ),
        talk=(("Do I have to throw my shoes away?", "No. Let them dry for a full day between uses, use an antifungal powder, and change socks daily. Discard only old trainers that stay damp or smell."),),
    ),
    S(
        "changing-mole", topic="A mole that changes", ages=(28, 76),
        case="{name}, {age}, noticed that a mole on the back has become darker.",
        say=(
            "A mole on my arm has grown over {n} months.",
            "I am {age} and have a dark spot that bleeds sometimes.",
            "My husband has a mole on his back with two colours.",
            "I have many moles and got sunburnt as a child.",
        ),
        ask=(
            ("Could it be cancer?", "Most moles are harmless, but a change must be examined."),
            ("What does a doctor look at?", "Shape, edge, colour, size and above all change over time."),
        ),
        net=(0, 0, 0, 0), urgent=(1,),
        facts=(
            "Melanoma is a skin cancer that is curable in most cases when found early.",
            "Change in shape, colour or size matters more than the number of moles.",
            "Sunburn, fair skin and family history raise the risk.",
        ),
        advice=(
            "Take a clear photo with a ruler beside the mole.",
            "Compare the mole with others, and look for the odd one out.",
            "Check the whole skin once a month, with a mirror or a partner.",
            "Protect skin with clothes, shade and sunscreen.",
        ),
        medicine=(
            "Do not treat a mole with acid, plasters or home freezing.",
            "Tell the doctor about tablets that weaken the immune system.",
        ),
        warn=(
            "Have any mole that changes, bleeds or itches seen within two weeks.",
            "Ask for an urgent appointment for a new dark lump that grows fast.",
            "See a doctor about a sore that has not healed in four weeks.",
        ),
        follow=("A suspicious mole is removed whole under local anaesthesia and examined.",),
        bad=(
            "Moles that bleed are cleaning themselves.",
            "A mole can be burned off at home at any time.",
            "Skin cancer only happens in hot countries.",
            "Two colours in a mole have no meaning.",
        ),
        talk=(("Does removing it hurt?", "A small injection numbs the skin, and after that you feel only pressure. It takes minutes. You get a few stitches, and the result of the examination usually comes within two weeks."),),
    ),
    S(
        "hives-sudden", topic="Sudden hives", ages=(16, 55),
        case="{name}, {age}, has itchy raised patches that move around the body.",
        say=(
            "I have itchy raised patches that come and go.",
            "I am {age} and have had hives for {n} days.",
            "My son got welts after a new antibiotic.",
            "My lips are swelling together with hives.",
        ),
        ask=(
            ("What is causing it?", "Often a viral infection; sometimes a medicine, food or pressure on the skin."),
            ("Is it an allergy?", "Sometimes, but many hives have nothing to do with allergy."),
        ),
        net=(0, 0, 2, 1), urgent=(3,), n=(2, 5),
        facts=(
            "Hives are itchy swellings that vanish within a day and appear elsewhere.",
            "Viral infections are a more common cause of hives than food.",
            "Hives for more than six weeks are rarely due to an allergy.",
        ),
        advice=(
            "Cool the skin and wear loose cotton.",
            "Avoid hot showers, alcohol and tight clothes for some days.",
            "Take photos and write down food, medicine and illness of the day before.",
            "Use a non-drowsy antihistamine as the packet says.",
        ),
        medicine=(
            "Ask a doctor before taking another dose of a medicine that may have caused hives.",
            "Painkillers such as ibuprofen can make hives worse.",
        ),
        warn=(
            "See a doctor if hives last over six weeks or leave bruises.",
            "Call emergency services for swelling of tongue or lips, or trouble breathing.",
            "Get urgent care if faintness, vomiting or wheeze comes with hives.",
        ),
        follow=("If tablets do not help after two weeks, the dose can be reviewed by a doctor.",),
        bad=(
            "A swollen tongue always goes down by itself.",
            "Take the same antibiotic again to be certain.",
            "Hot baths drive the welts out.",
            "Wheezing with a rash is simply nerves.",
        ),
        talk=(("Do I need allergy tests?", "Usually not for a single episode that settles. Tests are useful when hives follow the same food, medicine or sting within an hour or two. Bring your notes to the visit."),),
    ),
    S(
        "tick-bite", topic="A tick bite", ages=(8, 64),
        case="{name}, {age}, found a small tick behind the knee after a walk in the woods.",
        say=(
            "I found a tick behind my knee.",
            "I am {age} and pulled out a tick {n} days ago; the head may be stuck.",
            "My daughter has a red ring around an old tick bite.",
            "My dog brings ticks home, and one bit me.",
        ),
        ask=(
            ("How do I take it out?", "With fine tweezers, close to the skin, in one steady pull."),
            ("Do I need antibiotics now?", "Not after every bite, only if signs of infection appear."),
        ),
        net=(0, 0, 0, 0), urgent=(2,), n=(3, 9),
        facts=(
            "Ticks can carry Lyme disease, and the risk is low if they are removed within a day.",
            "A small red spot in the first two days is a reaction to the bite.",
            "A ring that grows over days to weeks is typical of Lyme disease.",
        ),
        advice=(
            "Grip the tick close to the skin with fine tweezers and pull steadily.",
            "Use no oil, glue or flame on the tick.",
            "Clean the skin, and write the date and place in the calendar.",
            "Look at the bite every few days for a month, with a photo.",
            "Wear long trousers and check the skin after walks.",
        ),
        medicine=(
            "Antibiotics are not needed for every bite; they treat a ring-shaped rash well.",
            "Ask about the vaccine against tick-borne encephalitis if it occurs in the area.",
        ),
        warn=(
            "See a doctor for a rash that grows beyond five centimetres.",
            "Get urgent care for a drooping face, severe headache or stiff neck.",
            "Have fever and aches in the weeks after a bite checked.",
        ),
        follow=("Blood tests are not useful straight after a bite, because antibodies need weeks.",),
        bad=(
            "A growing ring on the skin fades without a trace.",
            "A tick may stay in the skin as long as it likes.",
            "Ticks are harmless garden animals.",
            "A drooping face comes from the wind.",
        ),
        talk=(("The head is still inside, is that bad?", "Small mouth parts usually work their way out like a splinter and do not raise the risk of Lyme disease. Clean the skin and watch for redness that grows."),),
    ),
    S(
        "cellulitis-leg", topic="Cellulitis of the leg", ages=(48, 80),
        case="{name}, {age}, has a hot, red, swollen shin since yesterday.",
        say=(
            "My shin is hot, red and swollen since yesterday.",
            "I am {age} and have taken antibiotics for a red leg for {n} days.",
            "My mother has a red leg and shivers.",
            "I had cellulitis twice this year.",
        ),
        ask=(
            ("Is it an infection?", "Hot, spreading redness suggests one, and it should be seen today."),
            ("When should it get better?", "Pain and redness should ease within two or three days of treatment."),
        ),
        net=(0, 2, 1, 0), urgent=(2,), n=(2, 3),
        facts=(
            "Cellulitis is a bacterial infection of the deep skin, often entering by a crack.",
            "Redness may spread a little on the first day of treatment and should then shrink.",
            "Swollen legs, diabetes and athlete's foot make it more likely.",
        ),
        advice=(
            "Draw a line around the redness and note the time.",
            "Raise the leg above the heart when resting.",
            "Drink enough, and move the ankle often.",
            "Look between the toes for cracks and treat them.",
        ),
        medicine=(
            "Take the antibiotic at regular times and finish the course.",
            "Tell the prescriber about allergies to penicillin.",
        ),
        warn=(
            "See a doctor the same day for a hot, spreading redness.",
            "Go to hospital for shivering, confusion, very strong pain or black skin.",
            "Get a review if redness passes the line after two days of tablets.",
        ),
        follow=("Skin may stay darker and swollen for weeks after the infection is over.",),
        bad=(
            "Redness that spreads is a sign of warmth.",
            "Two tablets are enough for any infection.",
            "Shivering with a red leg is only a chill.",
            "Black skin is merely a bruise.",
        ),
        talk=(("How do I avoid a third one?", "Treat athlete's foot, moisturise dry skin and keep swelling down with compression if advised. After repeated episodes, a doctor may offer a low daily antibiotic for some months."),),
    ),
]
