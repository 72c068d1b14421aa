"""What lessons are made of: keyed chance, words for lists, invented names, days and months, in both languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gradus.data.order import mix

T = TypeVar("T")

LANGUAGES = ("en", "zh")


def words(text: str) -> tuple[str, ...]:
    """The words of a text, at its blanks."""
    return tuple(text.split())


WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}
MONTHS = {
    "en": (
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    "zh": tuple(f"{number}月" for number in range(1, 13)),
}  # fmt: skip
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # of a year that is no leap year
ITEMS = {
    "en": words(
        "apple bag ball bed bell bird boat book bottle box bread bridge bus cake car cat chair clock cloud coat cup "
        "desk dog door egg fish flag flower fork frog gate glass goat gold hat hill horse house ink iron key kite lake "
        "lamp leaf lemon letter milk moon mouse nail nest nut oil onion paper pear pen pig plate pot rain ring river "
        "road rock room rope rose salt sand seed ship shoe silk snow soap sock song spoon star stone sugar sun table "
        "tea tent tiger tree wall watch water wheel wind window wolf wood wool"
    ),
    "zh": words(
        "苹果 书包 皮球 床 铃 鸟 船 书 瓶子 盒子 面包 桥 汽车 蛋糕 椅子 钟 云 大衣 杯子 桌子 狗 门 鸡蛋 鱼 花 青蛙 "
        "羊 帽子 山 马 房子 钥匙 风筝 湖 灯 树叶 柠檬 信 牛奶 月亮 老鼠 钉子 油 纸 梨 笔 猪 盘子 雨 河 路 石头 "
        "绳子 盐 沙子 种子 鞋 雪 肥皂 歌 勺子 星星 糖 太阳 茶 老虎 树 墙 手表 水 轮子 风 窗户 狼 木头"
    ),
}  # fmt: skip
WORDS = words(
    "art back band bank base bird blue board body brown bus call card care cause chance city class cloud color corner "
    "cross dance day deep dream drink drive early earth east evening family farm field fight film finger fire floor "
    "flower forest friend front fruit garden glass gold green group hand happy heart heavy history home hope hotel "
    "house island job king kitchen lady language laugh leader letter light line list loud love lunch machine market "
    "match meat meter minute model money month morning mother music nature night noise north number ocean office "
    "orange order paper park party people person phone piece place plan plant play point power price quick quiet rain "
    "reader red rest river road rock room round school season second shape shop short side silver simple skin sleep "
    "small smile snow song sound south space speed sport spring stone stop store storm story street strong student "
    "summer sweet table teacher team test time town train travel tree turn uncle valley view village voice walk warm "
    "wash watch water weather week west white wind window winter woman wonder wood word world yellow young"
)
_SYLLABLES = words(
    "ba be bo da de do fa fi ga go ha hi ka ke ki la le li lo lu ma me mi mo na ne ni no pa pe ra re ri ro sa se "
    "ta te ti to va ve vi zo"
)
NAMES = words(
    "Ada Alan Alice Anna Anton Ben Bruno Carl Carla Clara Daniel David Diana Emil Emma Eric Eva Felix Frank Greta "
    "Hanna Hugo Ida Irene Jack Jane John Julia Karen Kim Laura Leo Lily Linda Lucas Maria Mark Martha Max Mia Nina "
    "Nora Olga Oscar Otto Paul Peter Rita Robert Rosa Sara Simon Sofia Susan Theo Tina Tom Vera Victor Walter"
)
_ENDS = ("", "", "n", "r", "l", "s")
_FAMILY, _GIVEN = "赵钱孙李周吴郑王冯陈沈韩杨朱秦许何吕张孔", "明华丽强伟芳敏静磊洋艳勇军杰娟涛超霞平刚"
_TOWN = "青石白云黄龙金山长河红松银星南风北泉西林东湖"


class Chance:
    """A stream of chance that is a function of its key alone (SplitMix64), on every machine and version alike."""

    def __init__(self, *key: int) -> None:
        self._state = mix(*key)

    def below(self, n: int) -> int:
        """A whole number from 0 up to n."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return ((z ^ (z >> 31)) * n) >> 64

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def one(self, values: Sequence[T]) -> T:
        """One of some values."""
        return values[self.below(len(values))]

    def some(self, values: Sequence[T], count: int) -> list[T]:
        """So many different ones of some values, in an order by chance."""
        left = list(values)
        return [left.pop(self.below(len(left))) for _ in range(count)]


def person(chance: Chance, language: str) -> str:
    """The name of somebody that there isn't."""
    if language == "zh":
        return chance.one(_FAMILY) + chance.one(_GIVEN) + (chance.one(_GIVEN) if chance.below(2) else "")
    return chance.one(NAMES) if chance.below(2) else _name(chance)


def town(chance: Chance, language: str) -> str:
    """The name of a town that there isn't."""
    if language == "zh":
        return "".join(chance.some(_TOWN, 2)) + "镇"
    return _name(chance) + chance.one(("ton", "ville", "stad", "by", "dor"))


def _name(chance: Chance) -> str:
    return (chance.one(_SYLLABLES) + chance.one(_SYLLABLES) + chance.one(_ENDS)).capitalize()


def worded(chance: Chance, wordings: Sequence[str], new: bool) -> str:
    """One of the wordings of a question; the last of them is kept for the test, as one in ``new`` words."""
    return wordings[-1] if new else chance.one(wordings[:-1])
