from xml.etree import ElementTree

from proxy.demo.pictures import picture


def test_pictures_are_well_formed_always_the_same_and_all_different() -> None:
    pictures = [picture(number) for number in range(1, 100)]
    assert pictures == [picture(number) for number in range(1, 100)]
    assert len(set(pictures)) == 99
    for each in pictures:
        assert ElementTree.fromstring(each).tag == "{http://www.w3.org/2000/svg}svg"
