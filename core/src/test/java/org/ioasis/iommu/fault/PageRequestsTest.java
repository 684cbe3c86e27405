// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.ioasis.iommu.fault.PageRequest.Response;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.memory.HandClock;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Groups of page requests, and that each has one answer. */
class PageRequestsTest {
    private static final long DEADLINE = 100;

    private final HandClock clock = new HandClock();
    private final List<String> answers = new ArrayList<>();
    private PageRequests requests = new PageRequests(0, clock);

    @BeforeEach
    void accept() {
        requests.accept(true);
    }

    private void setDeadline() {
        requests = new PageRequests(DEADLINE, clock);
        requests.accept(true);
    }

    /** Longer than there is time. */
    private void overrun() {
        clock.advance(DEADLINE + 1);
        requests.expire();
    }

    private static PageRequest request(int pasid, int group, boolean isLast, long address) {
        return request(1, pasid, group, isLast, address);
    }

    private static PageRequest request(
            int endpoint, int pasid, int group, boolean isLast, long address) {
        return new PageRequest(endpoint, pasid, group, Rights.READ, isLast, address);
    }

    private void ask(int pasid, int group, boolean isLast, long address) {
        ask(1, pasid, group, isLast, address);
    }

    private void ask(int endpoint, int pasid, int group, boolean isLast, long address) {
        requests.add(
                request(endpoint, pasid, group, isLast, address),
                (of, number, response) -> answers.add(of + "/" + number + " " + response));
    }

    private List<Long> tell() {
        List<Long> told = new ArrayList<>();
        for (PageRequest next = requests.peek(); next != null; next = requests.peek()) {
            told.add(next.address());
            requests.told();
        }
        return told;
    }

    @Test
    void aGroupIsToldWholeAndInOrderAfterItsLast() {
        ask(5, 1, false, 10);
        ask(6, 1, false, 20);
        ask(5, 1, false, 11);
        assertThat(requests.peek()).isNull();
        ask(5, 1, true, 12);
        assertThat(tell()).containsExactly(10L, 11L, 12L);
        assertThat(requests.held()).as("one of PASID 6 waits").isEqualTo(4);
        assertThat(requests.answer(1, 5, 1, Response.SUCCESS)).isTrue();
        assertThat(answers).containsExactly("5/1 SUCCESS");
        assertThat(requests.held()).isEqualTo(1);
    }

    @Test
    void anAnswerCountsOnceAndNotBeforeAllOfTheGroupWasTold() {
        ask(-1, 3, false, 1);
        ask(-1, 3, true, 2);
        assertThat(requests.answer(1, -1, 3, Response.SUCCESS)).isFalse();
        requests.told();
        assertThat(requests.answer(1, -1, 3, Response.SUCCESS)).as("half of it").isFalse();
        requests.told();
        assertThat(requests.answer(1, 0, 3, Response.SUCCESS)).as("a PASID").isFalse();
        assertThat(requests.answer(2, -1, 3, Response.SUCCESS)).as("another device").isFalse();
        assertThat(requests.answer(1, -1, 3, Response.FAILURE)).isTrue();
        assertThat(requests.answer(1, -1, 3, Response.SUCCESS)).isFalse();
        assertThat(answers).containsExactly("-1/3 FAILURE");
        assertThat(requests.answered()).isEqualTo(1);
    }

    @Test
    void aGroupThatHasNoAnswerInTimeIsInvalidAndNotBefore() {
        setDeadline();
        ask(5, 1, true, 10);
        clock.advance(40);
        ask(5, 2, true, 20);
        assertThat(tell()).containsExactly(10L, 20L);
        clock.advance(60);
        requests.expire();
        assertThat(answers).as("at the deadline").isEmpty();
        assertThat(requests.isTimed()).isTrue();

        clock.advance(1);
        requests.expire();

        assertThat(answers).containsExactly("5/1 INVALID");
        assertThat(requests.expired()).isEqualTo(1);
        assertThat(requests.invalid()).as("nothing was detached").isZero();
        assertThat(requests.held()).isEqualTo(1);
        assertThat(requests.answer(1, 5, 2, Response.SUCCESS)).isTrue();
        assertThat(answers).containsExactly("5/1 INVALID", "5/2 SUCCESS");
        assertThat(requests.isTimed()).isFalse();
    }

    @Test
    void anAnswerThatComesTooLateIsNotTakenForTheNextGroupOfThatNumber() {
        setDeadline();
        ask(5, 1, true, 10);
        assertThat(tell()).containsExactly(10L);
        overrun();

        ask(5, 1, true, 11);
        assertThat(answers).containsExactly("5/1 INVALID", "5/1 INVALID");
        assertThat(requests.refused()).isEqualTo(1);
        assertThat(requests.peek()).as("of the second").isNull();
        assertThat(requests.answer(1, 5, 1, Response.FAILURE)).as("too late").isFalse();
        assertThat(requests.late()).isEqualTo(1);
        assertThat(answers).hasSize(2);

        ask(5, 1, true, 12);
        assertThat(tell()).containsExactly(12L);
        assertThat(requests.answer(1, 5, 1, Response.SUCCESS)).isTrue();
        assertThat(answers.getLast()).isEqualTo("5/1 SUCCESS");
        assertThat(requests.late()).isEqualTo(1);
    }

    @Test
    void aDriverOwesNothingForWhatItWasDetachedFrom() {
        setDeadline();
        ask(5, 1, true, 10);
        ask(6, 1, true, 10);
        assertThat(tell()).hasSize(2);
        overrun();
        requests.forget(1, 5);
        ask(5, 1, true, 11);
        assertThat(tell()).containsExactly(11L);
        ask(6, 1, true, 12);
        assertThat(requests.refused()).as("of the other space").isEqualTo(1);
        requests.forgetAll();
        ask(6, 1, true, 13);
        assertThat(tell()).containsExactly(13L);
    }

    @Test
    void atTheLimitGroupsThatAreOwedAnAnswerTakeRoomUntilItIsHere() {
        setDeadline();
        for (int i = 0; i < PageRequests.GROUPS_MAX; i++) {
            ask(5, i, true, i);
        }
        assertThat(tell()).hasSize(PageRequests.GROUPS_MAX);
        overrun();
        assertThat(requests.expired()).isEqualTo(PageRequests.GROUPS_MAX);
        assertThat(requests.open()).isZero();
        ask(5, 0x1000, true, 0);
        assertThat(answers.getLast()).isEqualTo("5/4096 INVALID");
        assertThat(requests.refused()).isEqualTo(1);

        assertThat(requests.answer(1, 5, 7, Response.SUCCESS)).isFalse();
        ask(5, 0x1000, true, 0);
        assertThat(requests.open()).isEqualTo(1);
        ask(5, 0x1001, true, 0);
        assertThat(requests.refused()).isEqualTo(2);
    }

    @Test
    void aGroupThatNoDriverHasHeardOfInTimeIsNotToldAnyMore() {
        setDeadline();
        ask(-1, 1, false, 10);
        ask(-1, 1, true, 11);
        assertThat(requests.peek()).isNotNull();
        requests.told();
        overrun();
        assertThat(requests.peek()).as("half of it was told").isNull();
        assertThat(answers).containsExactly("-1/1 INVALID");
        ask(-1, 1, true, 12);
        assertThat(requests.peek()).as("its number is free").isNotNull();
        clock.advance(DEADLINE + 1);
        ask(-1, 1, true, 13);
        assertThat(answers).hasSize(2);
        assertThat(tell()).containsExactly(13L);
        assertThat(requests.expired()).isEqualTo(2);
    }

    @Test
    void requestsWhoseLastDoesNotComeInTimeAreDropped() {
        setDeadline();
        ask(5, 1, false, 10);
        clock.advance(DEADLINE);
        ask(5, 1, false, 11);
        ask(5, 2, false, 20);
        requests.expire();
        assertThat(requests.held()).as("at the deadline").isEqualTo(3);
        assertThat(requests.isTimed()).isTrue();

        clock.advance(1);
        requests.expire();

        assertThat(requests.held()).isEqualTo(1);
        assertThat(requests.dropped()).isEqualTo(2);
        ask(5, 1, true, 12);
        assertThat(tell()).containsExactly(12L);
        ask(5, 2, true, 21);
        assertThat(tell()).containsExactly(20L, 21L);
        assertThat(answers).isEmpty();
    }

    @Test
    void aResetDeviceHasAskedForNothingInNoneOfItsSpaces() {
        ask(5, 1, true, 10);
        ask(-1, 2, true, 20);
        assertThat(tell()).hasSize(2);
        ask(5, 3, true, 30);
        ask(5, 4, false, 40);
        ask(2, 5, 1, true, 50);

        requests.deviceReset(1);

        assertThat(answers).containsExactly("5/1 INVALID", "-1/2 INVALID", "5/3 INVALID");
        assertThat(requests.invalid()).isEqualTo(3);
        assertThat(requests.held()).as("another device's").isEqualTo(1);
        assertThat(tell()).containsExactly(50L);
        ask(5, 1, true, 11);
        assertThat(answers.getLast()).as("its first is not answered").isEqualTo("5/1 INVALID");
        assertThat(requests.answer(1, 5, 1, Response.SUCCESS)).isFalse();
        ask(5, 1, true, 12);
        ask(5, 3, true, 31);
        ask(5, 4, true, 41);
        assertThat(tell()).containsExactly(12L, 31L, 41L);
        assertThat(answers).hasSize(4);
    }

    @Test
    void withoutADeadlineADriverHasAllTheTimeThereIs() {
        ask(5, 1, true, 10);
        clock.advance(Long.MAX_VALUE / 2);
        requests.expire();
        assertThat(tell()).containsExactly(10L);
        assertThat(requests.isTimed()).isFalse();
        assertThat(requests.answer(1, 5, 1, Response.SUCCESS)).isTrue();
    }

    @Test
    void aNumberThatHasNoAnswerYetIsNotTakenAgain() {
        ask(5, 1, true, 10);
        ask(5, 1, true, 11);
        assertThat(answers).containsExactly("5/1 INVALID");
        assertThat(tell()).containsExactly(10L);
        assertThat(requests.answer(1, 5, 1, Response.SUCCESS)).isTrue();
        ask(5, 1, true, 12);
        assertThat(tell()).containsExactly(12L);
        assertThat(requests.refused()).isEqualTo(1);
    }

    @Test
    void whatWasHalfToldWhenItsSpaceWentIsNotToldOn() {
        ask(5, 1, false, 10);
        ask(5, 1, true, 11);
        ask(6, 1, true, 20);
        requests.told();
        requests.forget(1, 5);
        assertThat(answers).containsExactly("5/1 INVALID");
        assertThat(tell()).containsExactly(20L);
        assertThat(requests.answer(1, 5, 1, Response.SUCCESS)).isFalse();
        assertThat(requests.invalid()).isEqualTo(1);
    }

    @Test
    void withoutADriverAGroupIsAnsweredAtOnce() {
        ask(5, 1, true, 10);
        requests.accept(false);
        ask(5, 2, false, 10);
        ask(5, 2, true, 10);
        assertThat(answers).containsExactly("5/1 INVALID", "5/2 INVALID");
        assertThat(requests.held()).isZero();
        assertThat(requests.dropped()).isEqualTo(1);
    }

    @Test
    void aDeviceMayAskAgainFromItsAnswer() {
        List<Response> heard = new ArrayList<>();
        PageRequest.Asker[] asker = new PageRequest.Asker[1];
        asker[0] =
                (_, _, response) -> {
                    heard.add(response);
                    if (heard.size() < 3) {
                        requests.add(request(5, 1, true, 10L + heard.size()), asker[0]);
                    }
                };
        requests.add(request(5, 1, true, 10), asker[0]);
        assertThat(tell()).containsExactly(10L);
        assertThat(requests.answer(1, 5, 1, Response.SUCCESS)).isTrue();
        assertThat(tell()).containsExactly(11L);
        requests.forget(1, 5);
        assertThat(tell()).containsExactly(12L);
        requests.forgetAll();
        assertThat(heard).containsExactly(Response.SUCCESS, Response.INVALID, Response.INVALID);
        assertThat(requests.open()).isZero();
    }

    @Test
    void atTheLimitOfGroupsOneMoreIsInvalidUntilOneIsAnswered() {
        for (int i = 0; i < PageRequests.GROUPS_MAX; i++) {
            ask(5, i, true, i);
        }
        assertThat(answers).isEmpty();
        ask(5, 0x1000, true, 0);
        assertThat(answers).containsExactly("5/4096 INVALID");
        assertThat(requests.refused()).isEqualTo(1);
        assertThat(tell()).hasSize(PageRequests.GROUPS_MAX);
        assertThat(requests.answer(1, 5, 7, Response.SUCCESS)).isTrue();
        ask(5, 0x1000, true, 0);
        assertThat(requests.open()).isEqualTo(PageRequests.GROUPS_MAX);
        assertThat(requests.refused()).isEqualTo(1);
    }

    @Test
    void atTheLimitOfRequestsOneMoreIsDroppedAndALastIsInvalid() {
        for (int i = 0; i < PageRequests.REQUESTS_MAX; i++) {
            ask(5, i % 2, false, i);
        }
        assertThat(requests.dropped()).isZero();
        ask(5, 1, false, 0);
        assertThat(requests.dropped()).isEqualTo(1);
        ask(5, 3, true, 0);
        assertThat(answers).containsExactly("5/3 INVALID");
        ask(5, 1, true, 0);
        assertThat(answers).as("it has no room for its last").hasSize(2);
        assertThat(requests.held()).isEqualTo(PageRequests.REQUESTS_MAX / 2);
        ask(5, 0, true, 0);
        assertThat(tell()).hasSize(PageRequests.REQUESTS_MAX / 2 + 1);
    }

    @Test
    void anEndpointAtItsLimitOfGroupsLeavesOthersTheirRoom() {
        for (int endpoint = 1; endpoint <= 2; endpoint++) {
            for (int i = 0; i < PageRequests.GROUPS_MAX; i++) {
                ask(endpoint, 5, i, true, i);
            }
        }
        assertThat(answers).isEmpty();
        assertThat(requests.open()).isEqualTo(2 * PageRequests.GROUPS_MAX);
        ask(2, 5, 0x1000, true, 0);
        assertThat(answers).containsExactly("5/4096 INVALID");
        requests.forget(1, 5);
        ask(2, 5, 0x1001, true, 0);
        assertThat(answers.getLast()).as("room of another").isEqualTo("5/4097 INVALID");
        assertThat(tell()).as("of the one that is left").hasSize(PageRequests.GROUPS_MAX);
        assertThat(requests.answer(2, 5, 7, Response.SUCCESS)).isTrue();
        ask(2, 5, 0x1002, true, 0);
        assertThat(requests.refused()).isEqualTo(2);
        assertThat(requests.held()).isEqualTo(PageRequests.GROUPS_MAX);
    }

    @Test
    void anEndpointAtItsLimitOfRequestsLeavesOthersTheirRoom() {
        for (int endpoint = 1; endpoint <= 2; endpoint++) {
            for (int i = 0; i < PageRequests.REQUESTS_MAX; i++) {
                ask(endpoint, 5, 1, false, i);
            }
        }
        assertThat(requests.dropped()).isZero();
        assertThat(requests.held()).isEqualTo(2 * PageRequests.REQUESTS_MAX);
        ask(2, 5, 1, false, 0);
        assertThat(requests.dropped()).isEqualTo(1);
        ask(3, 5, 1, true, 30);
        assertThat(answers).isEmpty();
        assertThat(tell()).containsExactly(30L);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5})
    void everyGroupHasOneAnswerWhateverHappensInWhateverOrder(long seed) {
        setDeadline();
        Random random = new Random(seed);
        Map<Integer, Integer> heard = new HashMap<>();
        int asked = 0;
        for (int i = 0; i < 20_000; i++) {
            int pasid = random.nextInt(4) - 1;
            clock.advance(random.nextInt(4));
            switch (random.nextInt(8)) {
                case 0, 1, 2 -> {
                    int serial = asked++;
                    int number = random.nextInt(40);
                    requests.add(
                            request(pasid, number, true, serial),
                            (of, group, _) -> {
                                assertThat(of).isEqualTo(pasid);
                                assertThat(group).isEqualTo(number);
                                heard.merge(serial, 1, Integer::sum);
                            });
                }
                case 3 -> ask(pasid, random.nextInt(40), false, 0);
                case 4 -> {
                    if (requests.peek() != null) {
                        requests.told();
                    }
                }
                case 5, 6 -> requests.answer(1, pasid, random.nextInt(40), Response.SUCCESS);
                default -> {
                    if (random.nextInt(20) == 0) {
                        requests.forget(1, pasid);
                    } else if (random.nextInt(50) == 0) {
                        requests.deviceReset(1);
                    } else if (random.nextInt(200) == 0) {
                        requests.accept(random.nextBoolean());
                        requests.accept(true);
                    }
                }
            }
        }
        requests.forgetAll();
        assertThat(asked).isGreaterThan(5000);
        assertThat(heard).hasSize(asked);
        assertThat(heard.values()).containsOnly(1);
        assertThat(requests.open()).isZero();
        assertThat(requests.held()).isZero();
        assertThat(requests.peek()).isNull();
        assertThat(requests.answered()).isPositive();
        assertThat(requests.expired()).isPositive();
        assertThat(requests.late()).isPositive();
        assertThat(requests.answered() + requests.invalid() + requests.expired())
                .isEqualTo(requests.groups());
        assertThat(requests.groups() + requests.refused()).isEqualTo(asked);
        assertThat(answers).isEmpty();
    }
}
