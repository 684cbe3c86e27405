// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.ioasis.compare.tables.TraceEvent.Command;
import org.ioasis.compare.tables.TraceEvent.Dropped;
import org.ioasis.compare.tables.TraceEvent.Filled;
import org.ioasis.compare.tables.TraceEvent.Found;
import org.ioasis.compare.tables.TraceEvent.Translated;
import org.ioasis.compare.tables.TraceEvent.Trouble;
import org.junit.jupiter.api.Test;

/** Lines as QEMU 11.1.3 has written them. */
class TraceTest {
    @Test
    void linesOfIntelsIommuAreUnderstood() {
        List<String> lines =
                List.of(
                        "vtd_iotlb_page_update IOTLB page update sid 0x20 iova 0xfff2c108 slpte 0x264c067 domain 0x3",
                        "vtd_dmar_translate dev 00:04.00 iova 0xfffff000 -> gpa 0x262f000 mask 0xfff",
                        "vtd_dmar_translate dev 01:1f.07 iova 0xff000000 -> gpa 0x2600000 mask 0x1fffff",
                        "vtd_iotlb_page_hit IOTLB page hit sid 0x20 iova 0xfffffa44 slpte 0x262f065 domain 0x3",
                        "vtd_inv_desc invalidate desc type p-iotlb high 0xfffc8040 low 0x40036",
                        "vtd_iotlb_cc_hit IOTLB context hit bus 0x0 devfn 0x20 high 0x0 low 0x1 gen 1",
                        "vtd_iotlb_reset IOTLB reset (reason: exceeds size limit)",
                        "vtd_dmar_fault sid 0x20 fault 6 addr 0x1000 write 0");

        assertThat(Trace.events(Subject.Family.VTD, lines))
                .containsExactly(
                        new Filled(0x20, 3, 0xfff2c108L, 0, 3),
                        new Translated(0x20, 0xfffff000L, 0x262f000, 12, 0),
                        new Translated(0x1ff, 0xff000000L, 0x2600000, 21, 0),
                        new Found(0x20, 3, 0xfffffa44L),
                        new Command(0x40036, 0xfffc8040L),
                        new Trouble("vtd_dmar_fault sid 0x20 fault 6 addr 0x1000 write 0"));
    }

    @Test
    void linesOfAmdsIommuAreUnderstood() {
        List<String> lines =
                List.of(
                        "amdvi_cache_update  update iotlb domid 0x2 devid: 00:05.0 gpa 0xfffff000 hpa 0x1234000",
                        "amdvi_translation_result devid: 00:05.0 gpa 0xfffff000 hpa 0x1234000",
                        "amdvi_iotlb_hit hit iotlb devid 00:05.0 gpa 0xfffff010 hpa 0x1234000",
                        "amdvi_pages_inval AMD-Vi pages for domain 0x2 invalidated",
                        "amdvi_all_inval Invalidation of all AMD-Vi cache requested ",
                        "amdvi_page_fault error: page fault accessing guest physical address 0x1000");

        assertThat(Trace.events(Subject.Family.AMD, lines))
                .containsExactly(
                        new Filled(0x28, 2, 0xfffff000L, 0, 0),
                        new Translated(0x28, 0xfffff000L, 0x1234000, 0, 0),
                        new Found(0x28, TraceEvent.UNTOLD, 0xfffff010L),
                        new Dropped(2, 0, -1),
                        new Dropped(TraceEvent.UNTOLD, 0, -1),
                        new Trouble(lines.getLast()));
    }

    @Test
    void linesOfTheSmmuAreUnderstood() {
        List<String> lines =
                List.of(
                        "smmu_iotlb_insert IOTLB ++ asid=1 vmid=0 addr=0xffffd000 tg=1 level=3",
                        "smmu_iotlb_insert IOTLB ++ asid=1 vmid=0 addr=0xffe00000 tg=1 level=2",
                        "smmuv3_translate_success smmuv3-iommu-memory-region-32-1 sid=0x20 iova=0xffffda44 translated=0x42dd8a44 perm=0x3 stage=1",
                        "smmu_iotlb_lookup_hit IOTLB cache HIT asid=1 vmid=0 addr=0xffffda44 hit=12128 miss=9860 hit rate=55",
                        "smmuv3_range_inval vmid=0 asid=2 addr=0xffedc000 tg=1 num_pages=0x2 ttl=3 leaf=1 stage=1",
                        "smmuv3_range_inval vmid=0 asid=2 addr=0xffedc000 tg=0 num_pages=0x1 ttl=0 leaf=1 stage=1",
                        "smmuv3_cmdq_tlbi_nh_asid asid=1",
                        "smmu_iotlb_inv_asid_vmid IOTLB invalidate asid=1 vmid=0",
                        "smmu_iotlb_inv_all IOTLB invalidate all",
                        "smmuv3_cmdq_tlbi_nsnh ",
                        "smmuv3_unhandled_cmd Unhandled command type=7");

        assertThat(Trace.events(Subject.Family.SMMUV3, lines))
                .containsExactly(
                        new Filled(TraceEvent.UNTOLD, 1, 0xffffd000L, 12, 0),
                        new Filled(TraceEvent.UNTOLD, 1, 0xffe00000L, 21, 0),
                        new Translated(0x20, 0xffffda44L, 0x42dd8a44, 0, 3),
                        new Found(TraceEvent.UNTOLD, 1, 0xffffda44L),
                        new Dropped(2, 0xffedc000L, 0xffeddfffL),
                        new Dropped(2, 0xffedc000L, 0xffedcfffL),
                        new Dropped(1, 0, -1),
                        new Dropped(TraceEvent.UNTOLD, 0, -1),
                        new Trouble("smmuv3_unhandled_cmd Unhandled command type=7"));
    }
}
