"""English scenarios: stomach and bowel."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "reflux-at-night", topic="Heartburn at night", ages=(28, 70),
        case="{name}, {age}, wakes with a burning feeling behind the breastbone after late dinners.",
        say=(
            "I get heartburn every night when I lie down.",
            "I am {age} and acid comes up into my throat after dinner.",
            "My husband takes antacids {n} times a day for heartburn.",
            "I have heartburn, and food sometimes sticks on its way down.",
        ),
        ask=(
            ("What can I do against the burning?", "Eat early and lightly, and raise the head of the bed."),
            ("Is a camera test needed?", "Only with warning signs or if treatment fails; a doctor can judge that."),
        ),
        net=(0, 0, 0, 2), urgent=(3,),
        facts=(
            "Reflux happens when the valve above the stomach lets acid rise into the gullet.",
            "Late meals, excess weight, smoking and alcohol make reflux worse.",
            "Pain from the heart can feel like heartburn, above all with effort.",
        ),
        advice=(
            "Eat the last meal at least three hours before going to bed.",
            "Raise the head end of the bed by ten to fifteen centimetres.",
            "Choose smaller portions and less fat, coffee and alcohol.",
            "Lose a little weight and stop smoking if that applies.",
            "Wear loose clothes around the waist.",
        ),
        medicine=(
            "An acid blocker works best half an hour before breakfast; ask a pharmacist about a short course.",
            "Anti-inflammatory painkillers can irritate the stomach and should be avoided.",
        ),
        warn=(
            "See a doctor if heartburn lasts over three weeks despite treatment.",
            "Call emergency services for chest pain that spreads to the arm or jaw.",
            "Get checked soon if food sticks, weight drops or stools turn black.",
        ),
        follow=("After four to eight weeks of treatment the dose is lowered as far as possible.",),
        bad=(
            "Chest pain after dinner is always acid.",
            "Food that sticks simply needs more chewing.",
            "Eat right before bed to keep the acid busy.",
            "Black stools come with age.",
        ),
        talk=(
            ("Can I take the acid blocker for years?", "Some people need it for long, but many do not. Review it once a year with your doctor, and step down slowly, since acid may rebound for a week or two."),
        ),
    ),
    S(
        "gastroenteritis-adult", topic="A stomach bug in adults", ages=(19, 62),
        case="{name}, {age}, has had watery diarrhoea and vomiting since yesterday evening.",
        say=(
            "I have had watery diarrhoea for {n} days and feel weak.",
            "I am {age}, and I vomit everything since last night.",
            "My whole office has a stomach bug, and now I do too.",
            "My partner has cramps and diarrhoea after a buffet.",
        ),
        ask=(
            ("What should I drink and eat?", "Sip rehydration solution often, and eat plain food when hunger returns."),
            ("Should I take something to stop it?", "Usually not needed, and not with fever or blood in the stool."),
        ),
        net=(2, 2, 0, 0), n=(2, 3),
        facts=(
            "Most stomach bugs are viral and settle within a few days.",
            "The main danger is losing too much water and salt.",
            "The germs spread by hands and surfaces and remain catching for two days after recovery.",
        ),
        advice=(
            "Take small sips often, and prefer oral rehydration solution.",
            "Start with plain food such as rice, toast or banana when hunger returns.",
            "Wash hands with soap after the toilet and before meals.",
            "Stay away from work until two days after the last symptom.",
            "Check that urine is pale and passed every few hours.",
        ),
        medicine=(
            "Do not take anti-diarrhoea tablets with fever or bloody stools.",
            "Ask which regular tablets to pause, such as water tablets or metformin.",
        ),
        warn=(
            "See a doctor if diarrhoea lasts over a week or fluids do not stay down.",
            "Get urgent care for blood in the stool, fainting or severe belly pain.",
            "Call the same day if very little urine is passed or dizziness appears.",
        ),
        follow=("Bowels may stay sensitive for a week or two; milk can be hard to digest in that time.",),
        bad=(
            "Stop drinking and the diarrhoea stops too.",
            "Blood in the stool is part of every bug.",
            "Go to work and cook for everybody.",
            "Weakness means that the bug is leaving.",
        ),
        talk=(
            ("Is cola a good drink for this?", "Not really, since it has much sugar and little salt. Rehydration powder from a pharmacy is best; thin soup with crackers or diluted juice is a fair second choice."),
        ),
    ),
    S(
        "constipation-older-adult", topic="Constipation in older adults", ages=(68, 88),
        case="{name}, {age}, moves the bowels only twice a week and strains a lot.",
        say=(
            "I am {age} and have not had a bowel movement for {n} days.",
            "My mother is constipated since she started strong painkillers.",
            "I strain a lot on the toilet, and the stools are hard.",
            "My father's bowel habit has changed over the last two months.",
        ),
        ask=(
            ("Which laxative is safe?", "A mild one such as macrogol is safe for most people; ask a pharmacist."),
            ("What can I change in my meals?", "Add fruit, vegetables and oats slowly, and drink more with them."),
        ),
        net=(1, 0, 0, 2), urgent=(3,), n=(3, 5),
        facts=(
            "Little fibre, little fluid and little movement are common causes of constipation.",
            "Iron, strong painkillers and some bladder tablets slow the bowel.",
            "A new change of bowel habit after 50 should be examined.",
        ),
        advice=(
            "Drink six to eight glasses a day unless fluids are limited.",
            "Add fruit, vegetables, oats or prunes step by step.",
            "Walk every day, even if only in the corridor.",
            "Use the toilet after breakfast, with the feet on a small stool.",
            "Do not hold back when the urge comes.",
        ),
        medicine=(
            "A mild laxative such as macrogol is suitable for most people; ask a pharmacist first.",
            "People on strong painkillers usually need a daily laxative alongside.",
        ),
        warn=(
            "See a doctor about a change of bowel habit that lasts over three weeks.",
            "Get urgent care for severe belly pain, vomiting or no wind passing.",
            "Book a visit soon for blood in the stool or unplanned weight loss.",
        ),
        follow=("Give new habits two to four weeks, then review the need for laxatives.",),
        bad=(
            "Bowels of older people are slow, and that is the end of it.",
            "Blood on the paper is always harmless.",
            "Strong laxatives every day are better than vegetables.",
            "A swollen belly with vomiting is just gas.",
        ),
        talk=(
            ("Are prunes really useful?", "Yes, a few prunes a day soften the stool in many people. Start with two or three, drink enough, and reduce the number if they cause cramps or loose stools."),
        ),
    ),
    S(
        "irritable-bowel-bloating", topic="Bloating in irritable bowel syndrome", ages=(19, 48),
        case="{name}, {age}, has cramps and bloating that ease after a bowel movement.",
        say=(
            "My belly bloats every afternoon, and I have IBS.",
            "I am {age} and have cramps and loose stools before meetings.",
            "My sister was told she has an irritable bowel and eats hardly anything.",
            "My IBS has been bad for {n} weeks.",
        ),
        ask=(
            ("Which food should I avoid?", "That differs from person to person, so a diary for two weeks helps."),
            ("Is it dangerous?", "No, it is troublesome but does not damage the bowel."),
        ),
        net=(0, 1, 1, 0),
        facts=(
            "In irritable bowel syndrome the gut is sensitive, though tests look normal.",
            "Stress, irregular meals and certain carbohydrates often trigger symptoms.",
            "Irritable bowel syndrome does not turn into cancer.",
        ),
        advice=(
            "Eat at regular times, slowly and in modest portions.",
            "Keep a diary of food and symptoms for two weeks.",
            "Limit fizzy drinks, chewing gum and large amounts of coffee.",
            "Try oats or soluble fibre, raised slowly.",
            "Plan daily movement and a relaxation exercise.",
        ),
        medicine=(
            "Peppermint oil capsules help some people with cramps; ask a pharmacist about heartburn.",
            "Do not take laxatives or anti-diarrhoea tablets daily without advice.",
        ),
        warn=(
            "See a doctor if symptoms are new after 50 or wake you at night.",
            "Get checked soon for blood in stools, weight loss, fever or anaemia.",
            "Seek urgent care for severe lasting belly pain or repeated vomiting.",
        ),
        follow=("A dietitian can guide a short trial without certain carbohydrates, followed by a return to variety.",),
        bad=(
            "Your gut is fine, and you are merely too sensitive.",
            "Give up all fruit and vegetables for good.",
            "Weight loss with diarrhoea is a welcome bonus.",
            "Blood in the stool belongs to an irritable bowel.",
        ),
        talk=(
            ("Should I stop eating gluten?", "Not before a test for coeliac disease, because leaving out gluten makes the test unreliable. Ask your doctor for the blood test first, then talk about changes of diet."),
        ),
    ),
    S(
        "haemorrhoids-bleeding", topic="Haemorrhoids with a little bleeding", ages=(26, 64),
        case="{name}, {age}, saw bright red blood on the paper after straining.",
        say=(
            "I see bright red blood on the paper after going to the toilet.",
            "I am {age} and have an itchy lump at my bottom.",
            "My haemorrhoids have been sore for {n} days.",
            "My wife has haemorrhoids since the birth of our son.",
        ),
        ask=(
            ("Is bleeding normal with haemorrhoids?", "A little bright red blood is common, but a first bleed should be examined."),
            ("What soothes them?", "Warm baths, soft stools and a short course of cream."),
        ),
        net=(0, 2, 0, 0),
        facts=(
            "Haemorrhoids are swollen veins that bleed bright red after straining.",
            "Hard stools, long sitting on the toilet and pregnancy favour haemorrhoids.",
            "Bleeding can have other causes, so a new bleed deserves an examination.",
        ),
        advice=(
            "Soften the stool with fibre and water, and do not strain.",
            "Sit in warm water for ten minutes, two or three times a day.",
            "Limit time on the toilet to five minutes, without a phone.",
            "Clean gently with water and pat the skin dry.",
        ),
        medicine=(
            "Use creams with a numbing or steroid agent for one week at most.",
            "Tell the doctor about blood thinners if bleeding happens.",
        ),
        warn=(
            "See a doctor for any first bleeding, or if it lasts over a week.",
            "Get urgent care for heavy bleeding, black stools, dizziness or severe pain.",
            "Book a visit soon if bowel habit changes or weight drops.",
        ),
        follow=("If bleeding goes on, the veins can be banded in a short procedure.",),
        bad=(
            "Blood from the bottom is haemorrhoids every time.",
            "Strain harder and they slip back.",
            "Even heavy bleeding there is nothing to fear.",
            "An examination would be embarrassing, so skip it.",
        ),
        talk=(
            ("Will they need surgery?", "Seldom. Most settle with soft stools and time, and banding helps many of the rest. Surgery is kept for large ones that keep bleeding or stay outside."),
        ),
    ),
    S(
        "gallstone-pain-after-meals", topic="Gallstone pain after meals", ages=(34, 68),
        case="{name}, {age}, had a strong pain under the right ribs after a fatty dinner.",
        say=(
            "I get strong pain under my right ribs after fatty meals.",
            "I am {age}, and a scan showed gallstones.",
            "My mother had {n} attacks of gallstone pain this month.",
            "My pain after dinner goes through to the shoulder blade.",
        ),
        ask=(
            ("Do gallstones have to be removed?", "Only if they cause pain or complications; your doctor can discuss surgery."),
            ("What should I eat?", "Smaller meals with less fat until the stones have been dealt with."),
        ),
        net=(0, 0, 0, 1), n=(2, 4),
        facts=(
            "Gallstones hurt when one blocks the outlet of the gallbladder after a meal.",
            "An attack usually lasts from half an hour to several hours and then fades.",
            "Stones without symptoms mostly need no treatment.",
        ),
        advice=(
            "Eat smaller meals with less fat until the stones have been dealt with.",
            "Note when attacks come and how long they last.",
            "Lose weight slowly, because fast loss makes new stones.",
            "Rest with a warm pack on the belly during a mild attack.",
        ),
        medicine=(
            "Ask which painkiller is suitable, as not every tablet suits stomach or kidneys.",
            "Do not use flushing cures with oil, which can provoke an attack.",
        ),
        warn=(
            "See a doctor about repeated attacks, since surgery may prevent complications.",
            "Go to hospital for fever, chills or yellow eyes with the pain.",
            "Get urgent care if the pain lasts beyond five hours or vomiting goes on.",
        ),
        follow=("Removal by keyhole surgery is common, and most people digest normally afterwards.",),
        bad=(
            "Yellow eyes fade without any treatment.",
            "Stones always dissolve if you wait.",
            "Fever with belly pain is an ordinary cold.",
            "Attacks after meals are only a full stomach.",
        ),
        talk=(
            ("Can I live without a gallbladder?", "Yes, bile then flows straight from the liver into the bowel. Some people have looser stools for a few weeks, and most can eat normally after a short time."),
        ),
    ),
    S(
        "travellers-diarrhoea", topic="Diarrhoea while travelling", ages=(20, 58),
        case="{name}, {age}, is on holiday and has had loose stools since the second day.",
        say=(
            "I am abroad and have had diarrhoea for {n} days.",
            "I am {age} and came home from a trip with loose stools.",
            "My friend has cramps and fever on our journey.",
            "I leave for a hot country soon and fear diarrhoea.",
        ),
        ask=(
            ("How do I treat it on the road?", "Drink rehydration solution, rest and eat plain food for a day or two."),
            ("How can I prevent it?", "Safe water, hot food, peeled fruit and clean hands prevent most cases."),
        ),
        net=(0, 0, 2, 1), urgent=(2,), n=(2, 4),
        facts=(
            "Most diarrhoea on journeys comes from bacteria in food or water and lasts a few days.",
            "Fever or blood suggests a more serious infection.",
            "Fever after a stay in a malaria area has to be tested without delay.",
        ),
        advice=(
            "Drink bottled or boiled water and avoid ice.",
            "Eat food that is cooked through and served hot, and peel fruit yourself.",
            "Replace losses with oral rehydration solution.",
            "Wash hands before eating or use a hand rub.",
        ),
        medicine=(
            "Loperamide can help for a long bus ride, but not with fever or blood.",
            "Take antibiotics only as agreed with a travel clinic.",
        ),
        warn=(
            "See a doctor if diarrhoea lasts over a week after coming home.",
            "Get urgent care for bloody stools, high fever or signs of dehydration.",
            "Have any fever after a malaria area tested the same day.",
        ),
        follow=("Stool tests are useful when symptoms last beyond ten days.",),
        bad=(
            "Tap water toughens the stomach, so drink plenty.",
            "Fever after the tropics is only tiredness.",
            "Bloody stools are part of every holiday.",
            "Eat whatever you like, since bacteria die in the sun.",
        ),
        talk=(
            ("Should I pack antibiotics?", "Most travellers do not need them. If you have a weak immune system or go far from help, a travel clinic can discuss a standby course and when to use it."),
        ),
    ),
    S(
        "coeliac-gluten-free", topic="Living with coeliac disease", ages=(18, 60),
        case="{name}, {age}, was found to have coeliac disease and wonders what is safe to eat.",
        say=(
            "I was told {n} weeks ago that I have coeliac disease.",
            "I am {age}, have coeliac disease and ate bread by mistake.",
            "My daughter has coeliac disease and goes to a school canteen.",
            "I follow the diet for coeliac disease and still have cramps.",
        ),
        ask=(
            ("How strict must the diet be?", "Very strict, because even crumbs can keep the bowel inflamed."),
            ("What can we eat safely?", "Rice, maize, potatoes, meat, fruit, vegetables and labelled gluten-free food."),
        ),
        net=(2, 0, 2, 0),
        facts=(
            "In coeliac disease gluten from wheat, rye and barley harms the small bowel.",
            "The bowel heals on a strict gluten-free diet, often within months.",
            "Close relatives have a higher risk and can be tested.",
        ),
        advice=(
            "Choose rice, maize, potatoes and products that are labelled gluten-free.",
            "Use a separate toaster, board and butter to avoid crumbs.",
            "Read labels each time, as recipes change.",
            "Ask in restaurants how food is fried and thickened.",
            "See a dietitian who knows coeliac disease.",
        ),
        medicine=(
            "Check with a pharmacist whether tablets contain wheat starch.",
            "Take iron, folate or vitamin D only after a blood test shows a need.",
        ),
        warn=(
            "See a doctor if symptoms remain after six months on the diet.",
            "Get urgent care for severe vomiting, dehydration or strong belly pain.",
            "Book a visit for weight loss, bone pain or marked tiredness.",
        ),
        follow=("Blood tests once a year show whether the diet works and whether vitamins are missing.",),
        bad=(
            "A slice of bread each day keeps the gut trained.",
            "The diet is a fashion, so take no notice.",
            "Crumbs cannot harm anybody.",
            "Once the cramps stop, the disease is gone for good.",
        ),
        talk=(
            ("I ate gluten by accident, what now?", "One slip causes discomfort, but seldom lasting harm. Drink enough, rest, and go back to the diet at the next meal. Think about how it happened so that you can avoid it."),
        ),
    ),
]
