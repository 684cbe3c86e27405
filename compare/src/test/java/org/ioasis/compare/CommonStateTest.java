// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;

import java.util.List;
import org.junit.jupiter.api.Test;

/** What answers tell of a device, and the way back to it. */
class CommonStateTest {
    private final CommonState state = new CommonState();

    private void apply(Request... requests) {
        List.of(requests).forEach(state::apply);
    }

    private static List<String> text(List<Request> requests) {
        return requests.stream().map(Request::toString).toList();
    }

    @Test
    void lastDetachEndsTheDomainAndItsMappings() {
        apply(
                Request.attach(0x20, 1, 0),
                Request.attach(0x28, 1, 0),
                Request.map(1, 0x1000, 0x1fff, 0, MAP_F_READ),
                Request.detach(0x20, 1));
        assertThat(state.domain(1)).isNotNull();
        assertThat(state.isAlone(0x28)).isTrue();

        apply(Request.attach(0x28, 2, ATTACH_F_BYPASS));

        assertThat(state.domain(1)).isNull();
        assertThat(state.domain(2)).extracting(CommonState.Domain::isBypass).isEqualTo(true);
        assertThat(state.mappingAt(0x28, 0x1000)).isNull();
    }

    @Test
    void attachToItsOwnDomainChangesNothing() {
        apply(
                Request.attach(0x20, 1, 0),
                Request.map(1, -0x1000L, -1L, 0, 0),
                Request.attach(0x20, 1, 0));

        assertThat(state.mappingAt(0x20, -1L)).isNotNull();
        assertThat(state.mappingAt(0x20, -0x1001L)).isNull();
    }

    @Test
    void unmapRemovesWhatIsInside() {
        apply(
                Request.attach(0x20, 1, 0),
                Request.map(1, 0x1000, 0x1fff, 0, 0),
                Request.map(1, 0x3000, 0x3fff, 0, 0),
                Request.unmap(1, 0, 0x2fff));

        CommonState.Domain domain = state.domain(1);
        if (domain == null) {
            throw new AssertionError("no domain 1");
        }
        assertThat(domain.mappings()).containsOnlyKeys(0x3000L);
        assertThat(domain.splits(0x3000, 0x3ffe)).isTrue();
        assertThat(domain.splits(0x3000, -1L)).isFalse();
    }

    @Test
    void rebuildingLeadsToTheSameStateFromAnyOther() {
        apply(
                Request.attach(0x20, 1, 0),
                Request.attach(0x28, 1, 0),
                Request.attach(0xf8, 3, 0),
                Request.attach(0xfa, 2, ATTACH_F_BYPASS),
                Request.map(1, 0x1000, 0x1fff, 0xc00000, MAP_F_READ),
                Request.map(3, 0, -1L, 0, MAP_F_WRITE));
        CommonState other = new CommonState();
        other.apply(Request.attach(0x20, 3, 0));
        other.apply(Request.map(3, 0x5000, 0x5fff, 0, 0));
        other.apply(Request.attach(0x30, 2, 0));
        other.apply(Request.attach(0x10028, 1, ATTACH_F_BYPASS));

        state.rebuild(List.of(0x10028)).forEach(other::apply);

        assertThat(text(other.rebuild(List.of()))).isEqualTo(text(state.rebuild(List.of())));
        assertThat(other.domainOf(0x10028)).isNull();
    }

    @Test
    void resetLeavesNothing() {
        apply(Request.attach(0x20, 1, 0), Request.map(1, 0, 0xfff, 0, 0));

        state.restart(F_PROBE);

        assertThat(state.detaches()).isEmpty();
        assertThat(state.domain(1)).isNull();
        assertThat(state.has(F_PROBE)).isTrue();
        assertThat(state.has(F_MAP_UNMAP)).isFalse();
    }
}
