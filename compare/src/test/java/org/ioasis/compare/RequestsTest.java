// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Steps from a seed. */
class RequestsTest {
    private static List<String> text(List<Step> steps) {
        return steps.stream()
                .map(step ->
                        step instanceof Step.Ask(Request request)
                                ? request + " " + request.hex()
                                : step.toString())
                .toList();
    }

    @Test
    void sameSeedGivesTheSameStepsHoweverManyAreTakenAtOnce() {
        Requests pieces = new Requests(7, 0);
        List<Step> taken = new ArrayList<>(pieces.next(300));
        taken.addAll(pieces.next(700));

        assertThat(text(taken)).isEqualTo(text(new Requests(7, 0).next(1000)));
        assertThat(text(taken)).isNotEqualTo(text(new Requests(8, 0).next(1000)));
        assertThat(text(taken)).isNotEqualTo(text(new Requests(7, 1).next(1000)));
    }

    @Test
    void asManyRequestsAreMadeAsAreAskedForAndTheLastStepIsOne() {
        List<Step> steps = new Requests(1, 0).next(5000);

        assertThat(steps.stream().filter(Step.Ask.class::isInstance)).hasSize(5000);
        assertThat(steps.getLast()).isInstanceOf(Step.Ask.class);
        assertThat(steps).hasSizeBetween(5050, 5500);
    }

    @Test
    void everyKindComesAndFitsIntoItsSlot() {
        List<Step> steps = new Requests(2, 0).next(20_000);
        List<Request> requests =
                steps.stream()
                        .filter(Step.Ask.class::isInstance)
                        .map(step -> ((Step.Ask) step).request())
                        .toList();

        assertThat(steps)
                .hasAtLeastOneElementOfType(Step.Reboot.class)
                .hasAtLeastOneElementOfType(Step.Restart.class)
                .hasAtLeastOneElementOfType(Step.Configure.class)
                .hasAtLeastOneElementOfType(Step.Access.class);
        assertThat(requests)
                .allSatisfy(request -> {
                    assertThat(request.length()).isBetween(1, Request.READABLE);
                    assertThat(request.writable()).isBetween(0, Request.WRITABLE);
                });
        for (int type = T_ATTACH; type <= T_PROBE; type++) {
            int wanted = type;
            assertThat(requests.stream().filter(request -> request.is(wanted)).count())
                    .as("type %d", type)
                    .isGreaterThan(500);
        }
        assertThat(requests)
                .anyMatch(request -> request.length() < HEAD_SIZE)
                .anyMatch(request -> request.writable() < TAIL_SIZE)
                .anyMatch(request -> request.is(T_MAP) && request.last() == -1L)
                .anyMatch(request -> request.is(T_ATTACH) && request.le32(ATTACH_RESERVED) != 0)
                .anyMatch(request -> request.type() == 0)
                .anyMatch(request -> request.type() > T_PROBE);
    }
}
